// A server of the revisions up to 2025-11-25, made with the SDK of their time: sessions, and questions as requests of its own.

import { randomUUID } from 'node:crypto';
import { completable } from '@modelcontextprotocol/sdk/server/completable.js';
import { McpServer, ResourceTemplate } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import {
  CallToolRequestSchema, ListToolsRequestSchema, SubscribeRequestSchema, UnsubscribeRequestSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';
import { INFO, INSTRUCTIONS, TOOLS, counter, names, note, sentence } from './shared.mjs';

/** `{ handle, stop, sessions }`: handles one request of the legacy era, in sessions. */
export function legacyHandler() {
  const state = { proceeded: counter(), cancelled: counter() };
  const sessions = new Map();
  return { handle, sessions, stop: async () => { for (const transport of sessions.values()) await transport.close(); } };

  async function handle(request, response, message) {
    let transport = sessions.get(request.headers['mcp-session-id']);
    if (!transport) {
      transport = new StreamableHTTPServerTransport({
        sessionIdGenerator: () => randomUUID(),
        onsessioninitialized: (id) => sessions.set(id, transport),
        onsessionclosed: (id) => sessions.delete(id),
      });
      await build(state).connect(transport);
    }
    await transport.handleRequest(request, response, message);
  }
}

function build(state) {
  const subscribed = new Set();
  const mcp = new McpServer(INFO, {
    instructions: INSTRUCTIONS,
    capabilities: { tools: { listChanged: true }, resources: { listChanged: true, subscribe: true }, logging: {}, completions: {} },
  });
  const { server } = mcp;
  const requestedSchema = { type: 'object', properties: { answer: { type: 'string' } }, required: ['answer'] };
  const calls = {
    echo: (given) => ({ ...sentence(JSON.stringify(given)), structuredContent: { given } }),
    async slow({ steps }, context) {
      for (let step = 1; step <= steps; step += 1) await progress(context, step, steps);
      await state.proceeded.reaches(1);
      return sentence(`done after ${steps} steps`);
    },
    proceed() { state.proceeded.add(1); return sentence('going on'); },
    async endless(_, context) {
      const aborted = new Promise((resolve) => context.signal.addEventListener('abort', resolve));
      await progress(context, 1);
      await aborted;
      state.cancelled.add(1);
      return sentence('nobody hears this');
    },
    cancelled: async () => sentence(`${await state.cancelled.reaches(1)} cancelled`),
    async touch() { await server.sendToolListChanged(); return sentence('touched'); },
    async edit({ uri }) {
      if (subscribed.has(uri)) await server.sendResourceUpdated({ uri });
      return sentence('edited');
    },
    async ask({ question }, { sendRequest }) {
      const ask = async (message) => (await server.elicitInput({ message, requestedSchema }, { sendRequest })).content.answer;
      const first = await ask(question);
      return sentence(`${first} and ${await ask(`${question} And again?`)}`);
    },
    async sample({ text }) {
      const { content } = await server.createMessage({ messages: [{ role: 'user', content: { type: 'text', text } }], maxTokens: 10 });
      return sentence(`the model said: ${content.text}`);
    },
    roots: async () => sentence((await server.listRoots()).roots.map(({ uri }) => uri).join()),
    async log({ level }, context) {
      await context.sendNotification({ method: 'notifications/message', params: { level, data: 'a log line' } });
      return sentence('logged');
    },
    fail() { throw new Error('as it should'); },
  };
  // By hand, because the schemas of both servers are to be the same.
  server.setRequestHandler(ListToolsRequestSchema, () => ({
    tools: Object.entries(TOOLS).map(([name, { properties, ...more }]) => ({ name, inputSchema: { type: 'object', properties }, ...more })),
  }));
  server.setRequestHandler(CallToolRequestSchema, async ({ params }, context) => {
    try {
      return await calls[params.name](params.arguments ?? {}, context);
    } catch (error) {
      return { ...sentence(error.message), isError: true };
    }
  });
  server.setRequestHandler(SubscribeRequestSchema, ({ params }) => { subscribed.add(params.uri); return {}; });
  server.setRequestHandler(UnsubscribeRequestSchema, ({ params }) => { subscribed.delete(params.uri); return {}; });

  mcp.registerResource('größe', 'note://groesse', { mimeType: 'text/plain' }, (uri) => note(uri.href, 'einsachtzig'));
  const template = new ResourceTemplate('note://{name}', { list: undefined, complete: { name: names } });
  mcp.registerResource('note', template, {}, (uri, { name }) => note(uri.href, `a note about ${name}`));
  mcp.registerPrompt('grüßen', { argsSchema: { name: completable(z.string(), names) } }, ({ name }) => ({
    messages: [{ role: 'user', content: { type: 'text', text: `Please greet ${name}.` } }],
  }));
  return mcp;
}

async function progress({ _meta, sendNotification }, step, total) {
  if (_meta?.progressToken === undefined) return;
  await sendNotification({ method: 'notifications/progress', params: { progressToken: _meta.progressToken, progress: step, total, message: `step ${step}` } });
}
