// A client of either generation of the official SDK: does everything once and prints what it came to, a line of JSON each.
//
//   node client.mjs GENERATION MODE COMMAND [ARGUMENT...]     1 legacy | 2 legacy | 2 auto | 2 2026-07-28

const [generation, mode, command, ...args] = process.argv.slice(2);
const client = generation === '1' ? await first() : await second();
const capabilities = { elicitation: { form: {} }, sampling: {}, roots: {} };

const inbox = waitingRoom();
await client.connect(capabilities, inbox);
const tell = (step, cameTo) => process.stdout.write(`${JSON.stringify({ step, cameTo })}\n`);

tell('connect', client.server());
tell('tools', (await client.sdk.listTools()).tools.map(({ name, inputSchema, outputSchema }) => ({ name, properties: inputSchema.properties, outputSchema })));
tell('echo', await call('echo', { text: 'ü 🛰', number: 0.5 }));

const seen = [];
const slow = await call('slow', { steps: 3 }, {
  onprogress(progress) {
    seen.push(progress);
    if (progress.progress === 3) call('proceed');
  },
});
tell('progress', { seen, slow });

const abort = new AbortController();
const endless = call('endless', {}, { signal: abort.signal, onprogress: () => abort.abort('enough') });
tell('cancellation', { rejected: await endless.then(() => 'no', () => 'yes'), server: await call('cancelled') });

const subscription = await client.subscribe('note://groesse');
tell('edit', { edited: await call('edit', { uri: 'note://groesse' }), heard: await inbox.next('updated') });
tell('touch', { touched: await call('touch'), heard: await inbox.next('tools') });
await subscription.end();
tell('end of the subscription', await call('edit', { uri: 'note://groesse' }));

tell('ask', { result: await call('ask', { question: 'wie viele?' }), questions: inbox.all('questions') });
tell('sample', await call('sample', { text: 'sag was' }));
tell('roots', await call('roots'));
tell('log', { result: await client.loggingCall('log', { level: 'warning' }), heard: await inbox.next('log') });

tell('resources', (await client.sdk.listResources()).resources);
tell('resource', (await client.sdk.readResource({ uri: 'note://groesse' })).contents);
tell('templates', (await client.sdk.listResourceTemplates()).resourceTemplates);
tell('resource of a template', (await client.sdk.readResource({ uri: 'note://x' })).contents);
tell('prompts', (await client.sdk.listPrompts()).prompts);
tell('prompt', (await client.sdk.getPrompt({ name: 'grüßen', arguments: { name: 'Ada' } })).messages);
tell('completion', (await client.sdk.complete({ ref: { type: 'ref/prompt', name: 'grüßen' }, argument: { name: 'name', value: 'Ä' } })).completion);
tell('failing tool', await call('fail'));
tell('unknown resource', await client.sdk.readResource({ uri: 'other://none' }).then(() => 'no error', ({ code }) => typeof code));
tell('unheard', inbox.left());
await client.sdk.close();
tell('closed', true);

async function call(name, given = {}, options) {
  const { content, structuredContent, isError } = await client.call({ name, arguments: given }, options);
  return { content, structuredContent, isError };
}

/** What comes by itself, by kind, to be waited for. */
function waitingRoom() {
  const rooms = {};
  const room = (kind) => (rooms[kind] ??= { here: [], waiting: [] });
  return {
    came(kind, what) {
      const { here, waiting } = room(kind);
      if (waiting.length) waiting.shift()(what);
      else here.push(what);
    },
    next: (kind) => (room(kind).here.length ? room(kind).here.shift() : new Promise((resolve) => room(kind).waiting.push(resolve))),
    all: (kind) => room(kind).here.splice(0),
    left: () => Object.entries(rooms).filter(([, { here }]) => here.length).map(([kind]) => kind),
  };
}

function answers(inbox) {
  return {
    elicit({ params }) {
      inbox.came('questions', params.message);
      return { action: 'accept', content: { answer: params.message.endsWith('again?') ? 'zwei' : 'eins' } };
    },
    sample: ({ params }) => ({ role: 'assistant', model: 'm', content: { type: 'text', text: `${params.messages[0].content.text}!` } }),
    roots: () => ({ roots: [{ uri: 'file:///ü', name: 'ü' }] }),
  };
}

/** The SDK of the revisions up to 2025-11-25. */
async function first() {
  const { Client } = await import('@modelcontextprotocol/sdk/client/index.js');
  const { StdioClientTransport } = await import('@modelcontextprotocol/sdk/client/stdio.js');
  const types = await import('@modelcontextprotocol/sdk/types.js');
  let sdk;
  return {
    get sdk() { return sdk; },
    async connect(able, box) {
      sdk = new Client({ name: 'first-generation', version: '1.0.0' }, { capabilities: able });
      const { elicit, sample, roots } = answers(box);
      sdk.setRequestHandler(types.ElicitRequestSchema, elicit);
      sdk.setRequestHandler(types.CreateMessageRequestSchema, sample);
      sdk.setRequestHandler(types.ListRootsRequestSchema, roots);
      sdk.setNotificationHandler(types.ToolListChangedNotificationSchema, () => box.came('tools', 'changed'));
      sdk.setNotificationHandler(types.ResourceUpdatedNotificationSchema, ({ params }) => box.came('updated', params.uri));
      sdk.setNotificationHandler(types.LoggingMessageNotificationSchema, ({ params }) => box.came('log', params.data));
      await sdk.connect(new StdioClientTransport({ command, args, stderr: 'inherit' }));
    },
    server: () => ({ server: sdk.getServerVersion(), capabilities: sdk.getServerCapabilities(), instructions: sdk.getInstructions() }),
    call: (params, options) => sdk.callTool(params, undefined, options),
    async subscribe(uri) {
      await sdk.subscribeResource({ uri });
      return { end: () => sdk.unsubscribeResource({ uri }) };
    },
    async loggingCall(name, given) {
      await sdk.setLoggingLevel('info');
      return call(name, given);
    },
  };
}

/** The SDK of 2026-07-28, which speaks the revisions before it as well. */
async function second() {
  const { Client } = await import('@modelcontextprotocol/client');
  const { StdioClientTransport } = await import('@modelcontextprotocol/client/stdio');
  let sdk;
  const isModern = () => sdk.getNegotiatedProtocolVersion() >= '2026';
  return {
    get sdk() { return sdk; },
    async connect(able, box) {
      sdk = new Client({ name: 'second-generation', version: '1.0.0' }, {
        capabilities: able,
        versionNegotiation: { mode: mode === 'legacy' || mode === 'auto' ? mode : { pin: mode } },
      });
      const { elicit, sample, roots } = answers(box);
      sdk.setRequestHandler('elicitation/create', elicit);
      sdk.setRequestHandler('sampling/createMessage', sample);
      sdk.setRequestHandler('roots/list', roots);
      sdk.setNotificationHandler('notifications/tools/list_changed', () => box.came('tools', 'changed'));
      sdk.setNotificationHandler('notifications/resources/updated', ({ params }) => box.came('updated', params.uri));
      sdk.setNotificationHandler('notifications/message', ({ params }) => box.came('log', params.data));
      await sdk.connect(new StdioClientTransport({ command, args, stderr: 'inherit' }));
    },
    server: () => ({ server: sdk.getServerVersion(), capabilities: sdk.getServerCapabilities(), instructions: sdk.getInstructions() }),
    call: (params, options) => sdk.callTool(params, options),
    async subscribe(uri) {
      if (!isModern()) {
        await sdk.subscribeResource({ uri });
        return { end: () => sdk.unsubscribeResource({ uri }) };
      }
      const listening = await sdk.listen({ toolsListChanged: true, resourceSubscriptions: [uri] });
      return { end: () => listening.close() };
    },
    async loggingCall(name, given) {
      if (!isModern()) {
        await sdk.setLoggingLevel('info');
        return call(name, given);
      }
      const _meta = { 'io.modelcontextprotocol/logLevel': 'info' };
      const { content, structuredContent, isError } = await sdk.callTool({ name, arguments: given, _meta });
      return { content, structuredContent, isError };
    },
  };
}
