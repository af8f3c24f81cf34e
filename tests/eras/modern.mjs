// A server of 2026-07-28, made with the official packages: what it wants to know it says in its answer.

import http from 'node:http';
import { toNodeHandler } from '@modelcontextprotocol/node';
import {
  McpServer, ResourceTemplate, acceptedContent, completable, createMcpHandler, fromJsonSchema, inputRequired,
} from '@modelcontextprotocol/server';
import { z } from 'zod';
import { INFO, INSTRUCTIONS, TOOLS, counter, names, note, sentence } from './shared.mjs';

/** `{ handle, stop }`: handles one request of the modern era. */
export function modernHandler() {
  const state = { proceeded: counter(), cancelled: counter() };
  const handler = createMcpHandler(() => build(state), { legacy: 'reject' });
  state.notify = handler.notify;
  return { handle: toNodeHandler(handler), stop: () => handler.close() };
}

function build(state) {
  const server = new McpServer(INFO, {
    instructions: INSTRUCTIONS,
    capabilities: { tools: { listChanged: true }, resources: { listChanged: true, subscribe: true }, logging: {}, completions: {} },
  });
  const tool = (name, call) => {
    const { properties, ...more } = TOOLS[name];
    const outputSchema = more.outputSchema && fromJsonSchema(more.outputSchema);
    server.registerTool(name, { ...more, ...(outputSchema && { outputSchema }), inputSchema: fromJsonSchema({ type: 'object', properties }) }, call);
  };
  const inputs = (mcpReq, inputRequests, requestState) => inputRequired({ inputRequests, requestState });

  tool('echo', (given) => ({ ...sentence(JSON.stringify(given)), structuredContent: { given } }));
  tool('slow', async ({ steps }, { mcpReq }) => {
    for (let step = 1; step <= steps; step += 1) await progress(mcpReq, step, steps);
    await state.proceeded.reaches(1);
    return sentence(`done after ${steps} steps`);
  });
  tool('proceed', () => { state.proceeded.add(1); return sentence('going on'); });
  tool('endless', async (_, { mcpReq }) => {
    const aborted = new Promise((resolve) => mcpReq.signal.addEventListener('abort', resolve));
    await progress(mcpReq, 1);
    await aborted;
    state.cancelled.add(1);
    return sentence('nobody hears this');
  });
  tool('cancelled', async () => sentence(`${await state.cancelled.reaches(1)} cancelled`));
  tool('touch', () => { state.notify.toolsChanged(); return sentence('touched'); });
  tool('edit', ({ uri }) => { state.notify.resourceUpdated(uri); return sentence('edited'); });
  tool('ask', ({ question }, { mcpReq }) => {
    const first = acceptedContent(mcpReq.inputResponses, 'first');
    const second = acceptedContent(mcpReq.inputResponses, 'second');
    if (second) return sentence(`${JSON.parse(mcpReq.requestState()).first} and ${second.answer}`);
    const elicit = (message) => inputRequired.elicit({ message, requestedSchema: { type: 'object', properties: { answer: { type: 'string' } }, required: ['answer'] } });
    if (first) return inputs(mcpReq, { second: elicit(`${question} And again?`) }, JSON.stringify({ first: first.answer }));
    return inputs(mcpReq, { first: elicit(question) });
  });
  tool('sample', ({ text }, { mcpReq }) => {
    const said = mcpReq.inputResponses?.said;
    if (said) return sentence(`the model said: ${said.content.text}`);
    const messages = [{ role: 'user', content: { type: 'text', text } }];
    return inputs(mcpReq, { said: inputRequired.createMessage({ messages, maxTokens: 10 }) });
  });
  tool('roots', (_, { mcpReq }) => {
    const roots = mcpReq.inputResponses?.roots;
    if (roots) return sentence(roots.roots.map(({ uri }) => uri).join());
    return inputs(mcpReq, { roots: inputRequired.listRoots() });
  });
  tool('log', async ({ level }, { mcpReq }) => {
    await mcpReq.log(level, 'a log line');
    return sentence('logged');
  });
  tool('fail', () => { throw new Error('as it should'); });

  server.registerResource('größe', 'note://groesse', { mimeType: 'text/plain' }, (uri) => note(uri.href, 'einsachtzig'));
  const template = new ResourceTemplate('note://{name}', { list: undefined, complete: { name: names } });
  server.registerResource('note', template, {}, (uri, { name }) => note(uri.href, `a note about ${name}`));
  server.registerPrompt('grüßen', { argsSchema: z.object({ name: completable(z.string(), names) }) }, ({ name }) => ({
    messages: [{ role: 'user', content: { type: 'text', text: `Please greet ${name}.` } }],
  }));
  return server;
}

async function progress(mcpReq, step, total) {
  const progressToken = mcpReq._meta?.progressToken;
  if (progressToken === undefined) return;
  await mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress: step, total, message: `step ${step}` } });
}

/** Reads the body of a request. */
export async function body(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

/** Starts an HTTP server that hands requests to `handle`: `{ url, stop }`. */
export async function listen(handle, close) {
  const server = http.createServer(handle);
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const stop = async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    await close();
    server.closeAllConnections();
    await closed;
  };
  return { url: `http://127.0.0.1:${server.address().port}/mcp`, stop };
}
