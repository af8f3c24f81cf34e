// A server made with the official packages, for both eras: 2026-07-28 as they serve it, and the revisions before it in
// sessions, as existing deployments do. Its few tools use every direction of the protocol between them.

import http from 'node:http';
import { NodeStreamableHTTPServerTransport, toNodeHandler, toWebRequest } from '@modelcontextprotocol/node';
import {
  McpServer, ResourceTemplate, InMemoryServerEventBus, acceptedContent, completable, createMcpHandler, fromJsonSchema,
  inputRequired, isLegacyRequest,
} from '@modelcontextprotocol/server';
import { z } from 'zod';

const PAGE = 3;

/** Starts a server that accepts connections when this returns: `{ port, stop }`. */
export async function startServer() {
  const state = { proceeded: counter(), cancelled: counter(), subscriptions: counter(), notify: undefined };
  const bus = watchedBus(state.subscriptions);
  const modern = createMcpHandler(() => build(state, 'modern'), { bus, legacy: 'reject' });
  state.notify = modern.notify;
  const handleModern = toNodeHandler(modern);
  const sessions = new Map();

  const server = http.createServer(async (request, response) => {
    const body = request.method === 'POST' ? JSON.parse(await text(request)) : undefined;
    if (await isLegacyRequest(await toWebRequest(request, body))) await handleLegacy(request, response, body);
    else await handleModern(request, response, body);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: server.address().port, stop };

  async function handleLegacy(request, response, body) {
    let transport = sessions.get(request.headers['mcp-session-id']);
    if (!transport) {
      transport = new NodeStreamableHTTPServerTransport({
        sessionIdGenerator: () => crypto.randomUUID(),
        onsessioninitialized: (id) => sessions.set(id, transport),
      });
      await build(state, 'legacy').connect(transport);
    }
    await transport.handleRequest(request, response, body);
  }

  async function stop() {
    const closed = new Promise((resolve) => server.close(resolve));
    await modern.close();
    server.closeAllConnections();
    await closed;
  }
}

function build(state, era) {
  const server = new McpServer(
    { name: 'both-eras', version: '1.0.0', title: 'Grüße 🛰' },
    { instructions: 'Tools to try a proxy with.', capabilities: { tools: { listChanged: true }, completions: {} } },
  );
  const tool = (name, properties, call, more = {}) => server.registerTool(
    name,
    { description: `The tool ${name}`, inputSchema: fromJsonSchema({ type: 'object', properties }), ...more },
    call,
  );
  const said = (sentence) => ({ content: [{ type: 'text', text: sentence }] });
  const string = { type: 'string' };

  tool('route', {
    region: { ...string, 'x-mcp-header': 'Region' },
    city: { ...string, 'x-mcp-header': 'City' },
    note: { ...string, 'x-mcp-header': 'Note' },
    tricky: { ...string, 'x-mcp-header': 'Tricky' },
    count: { type: 'integer', 'x-mcp-header': 'Count' },
    urgent: { type: 'boolean', 'x-mcp-header': 'Urgent' },
    where: { type: 'object', properties: { floor: { type: 'integer', 'x-mcp-header': 'Floor' } } },
    plain: string,
  }, (given) => ({ ...said(JSON.stringify(given)), structuredContent: { given } }), {
    outputSchema: fromJsonSchema({ type: 'object', properties: { given: { type: 'object' } }, required: ['given'] }),
  });
  // Its annotation is invalid (a space): clients that speak HTTP leave the tool out.
  tool('unusable', { city: { ...string, 'x-mcp-header': 'The City' } }, () => said('never called'));

  tool('slow', { steps: { type: 'integer' } }, async ({ steps }, { mcpReq }) => {
    for (let step = 1; step <= steps; step += 1) await progress(mcpReq, step, steps);
    // The clients handle a notification later than a result that they read in the same piece: they say when to go on.
    await state.proceeded.reaches(1);
    return said(`done after ${steps} steps`);
  });
  tool('proceed', {}, () => {
    state.proceeded.add(1);
    return said('going on');
  });
  tool('endless', {}, async (_, { mcpReq }) => {
    const aborted = new Promise((resolve) => mcpReq.signal.addEventListener('abort', resolve));
    await progress(mcpReq, 1);
    await aborted;
    state.cancelled.add(1);
    return said('nobody hears this');
  });
  // Waits, so that nobody has to ask twice.
  tool('cancelled', {}, async () => said(`${await state.cancelled.reaches(1)} cancelled`));

  tool('touch', {}, async (_, { mcpReq }) => {
    if (era === 'modern') state.notify.toolsChanged();
    else await mcpReq.notify({ method: 'notifications/tools/list_changed' });
    return said('touched');
  });
  tool('unsubscribed', {}, async () => said(`${await state.subscriptions.reaches(0)} subscriptions`));

  tool('ask', { question: string }, ({ question }, { mcpReq }) => {
    const answer = acceptedContent(mcpReq.inputResponses, 'question');
    if (answer) return said(`${question} ${answer.answer} (${mcpReq.requestState() ?? 'no state'})`);
    const requestedSchema = { type: 'object', properties: { answer: string }, required: ['answer'] };
    return inputRequired({
      inputRequests: { question: inputRequired.elicit({ message: question, requestedSchema }) },
      requestState: 'opaque: ü 🛰',
    });
  });
  tool('fail', {}, () => { throw new Error('as it should'); });

  server.registerResource('größe', 'note://größe', { mimeType: 'text/plain' }, (uri) => ({ contents: [{ uri: uri.href, text: 'einsachtzig' }] }));
  const template = new ResourceTemplate('note://{name}', { list: undefined, complete: { name: (value) => names(value) } });
  server.registerResource('note', template, {}, (uri, { name }) => ({ contents: [{ uri: uri.href, text: `a note about ${name}` }] }));
  server.registerPrompt('grüßen', { argsSchema: z.object({ name: completable(z.string(), names) }) }, ({ name }) => ({
    messages: [{ role: 'user', content: { type: 'text', text: `Please greet ${name}.` } }],
  }));
  inPages(server.server);
  return server;
}

const names = (value) => ['Ada', 'Änne', 'Grace'].filter((name) => name.startsWith(value));

async function progress(mcpReq, step, total) {
  const progressToken = mcpReq._meta?.progressToken;
  if (progressToken === undefined) return;
  await mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress: step, total, message: `step ${step}` } });
}

/** `tools/list` in pages; the package has none. */
function inPages(server) {
  const all = server._requestHandlers.get('tools/list');
  server.setRequestHandler('tools/list', async (request, context) => {
    const { tools, ...rest } = await all(request, context);
    const start = Number(request.params?.cursor ?? 0);
    const nextCursor = start + PAGE < tools.length ? String(start + PAGE) : undefined;
    return { ...rest, tools: tools.slice(start, start + PAGE), ...(nextCursor && { nextCursor }) };
  });
}

/** A number that can be waited for. */
function counter() {
  let value = 0;
  let waiting = [];
  return {
    add(more) {
      value += more;
      waiting = waiting.filter(({ target, resolve }) => value !== target || resolve(value));
    },
    reaches: (target) => (value === target ? value : new Promise((resolve) => waiting.push({ target, resolve }))),
  };
}

/** The bus of subscriptions, counted. */
function watchedBus(subscriptions) {
  const bus = new InMemoryServerEventBus();
  return {
    publish: (event) => bus.publish(event),
    subscribe(listener) {
      const unsubscribe = bus.subscribe(listener);
      let open = true;
      subscriptions.add(1);
      return () => {
        if (open) subscriptions.add(-1);
        open = false;
        unsubscribe();
      };
    },
  };
}

async function text(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}
