// The scenario: named steps, each a conversation with the reference server that ends in a known state. A step waits for
// everything it causes, so that nothing of it falls into the next one.

import { pause, until } from './server.mjs';

/** Tools that are called with arguments and answer by themselves. The others have steps of their own (`covers`). */
const PLAIN_TOOLS = {
  'echo': [{ message: 'hello' }, { message: '' }, { message: 'quotes " backslash \\ newline \n tab \t nul \u0000 separators \u2028\u2029 ü 漢字 🛰 half \ud83d' }],
  'get-annotated-message': [{ messageType: 'error' }, { messageType: 'success', includeImage: true }, { messageType: 'debug', includeImage: false }],
  'get-env': [{}],
  'get-resource-links': [{}, { count: 10 }],
  'get-resource-reference': [{ resourceType: 'Text', resourceId: 7 }, { resourceType: 'Blob', resourceId: 8 }, { resourceId: -1 }],
  'get-structured-content': [{ location: 'New York' }, { location: 'Chicago' }, { location: 'Los Angeles' }],
  'get-sum': [{ a: 1, b: 2 }, { a: 0.1, b: 0.2 }, { a: -1e21, b: 9007199254740993 }],
  'get-tiny-image': [{}],
};

/** Tools that are not called, each with its reason. */
export const SKIPPED_TOOLS = {};

const PROMPTS = {
  'simple-prompt': [undefined],
  'args-prompt': [{ city: 'Köln' }, { city: 'Austin', state: 'Texas' }, {}],
  'completable-prompt': [{ department: 'Sales', name: 'Eve' }],
  'resource-prompt': [{ resourceType: 'Text', resourceId: '3' }, { resourceType: 'Blob', resourceId: '4' }, { resourceType: 'Nothing', resourceId: '5' }],
};

const COMPLETIONS = [
  [{ type: 'ref/prompt', name: 'completable-prompt' }, { name: 'department', value: '' }],
  [{ type: 'ref/prompt', name: 'completable-prompt' }, { name: 'department', value: 'S' }],
  [{ type: 'ref/prompt', name: 'completable-prompt' }, { name: 'name', value: '' }, { arguments: { department: 'Sales' } }],
  [{ type: 'ref/prompt', name: 'resource-prompt' }, { name: 'resourceType', value: 'B' }],
  [{ type: 'ref/resource', uri: 'demo://resource/dynamic/text/{resourceId}' }, { name: 'resourceId', value: '12' }],
  [{ type: 'ref/prompt', name: 'no-such-prompt' }, { name: 'x', value: '' }],
];

const DOCUMENT = 'demo://resource/static/document/features.md';

/** The steps, in order. `always` steps run also with --only; in `concurrent` ones the order of requests means nothing. */
export function createScenario(session) {
  const call = (name, args = {}, options = {}) => session.request('tools/call', { name, arguments: args }, options);
  const awaitMessage = (what, test, count = 1) => until(what, () => session.receivedNow(test).length >= count);
  const isLog = (text) => ({ method, params }) => method === 'notifications/message' && params.data.includes(text);
  const isMethod = (name) => ({ method }) => method === name;
  const listed = { tools: [], prompts: [], resources: [] };

  return [
    { name: 'initialize', always: true, async run() {
      await session.connect();
      // A moment after the handshake the server asks for the roots, and says so on the GET stream.
      await awaitMessage('the log message about the roots', isLog('2 root(s) received'));
    } },
    { name: 'ping', run: () => session.request('ping') },

    { name: 'tools/list', always: true, async run() {
      listed.tools = (await session.request('tools/list', {})).tools.map(({ name }) => name);
      for (const name of listed.tools) if (SKIPPED_TOOLS[name]) session.notes.push(`tool ${name} is not called: ${SKIPPED_TOOLS[name]}`);
    } },
    ...Object.entries(PLAIN_TOOLS).map(([name, calls]) => ({ name: `tool ${name}`, covers: name, async run() {
      for (const args of calls) await call(name, args);
    } })),
    { name: 'tool gzip-file-as-resource', covers: 'gzip-file-as-resource', async run() {
      const data = `data:text/plain;base64,${Buffer.from('something to compress '.repeat(50)).toString('base64')}`;
      await call('gzip-file-as-resource', { name: 'one.gz', data, outputType: 'resourceLink' });
      await awaitMessage('resources/list_changed', isMethod('notifications/resources/list_changed'));
      await session.request('resources/read', { uri: 'demo://resource/session/one.gz' });
      await call('gzip-file-as-resource', { name: 'two.gz', data, outputType: 'resource' });
      await awaitMessage('resources/list_changed', isMethod('notifications/resources/list_changed'), 2);
      await call('gzip-file-as-resource', { name: 'three.gz', data: 'ftp://127.0.0.1/refused' });
    } },

    { name: 'prompts/list', async run() {
      listed.prompts = (await session.request('prompts/list', {})).prompts.map(({ name }) => name);
    } },
    ...Object.entries(PROMPTS).map(([name, calls]) => ({ name: `prompt ${name}`, covers: name, async run() {
      for (const args of calls) await session.request('prompts/get', { name, arguments: args });
    } })),
    { name: 'resources', async run() {
      const { resources } = await session.request('resources/list', {});
      for (const { uri } of resources) await session.request('resources/read', { uri });
      await session.request('resources/read', { uri: 'demo://resource/static/document/no-such.md' });
    } },
    { name: 'resource templates', async run() {
      const { resourceTemplates } = await session.request('resources/templates/list', {});
      for (const { uriTemplate } of resourceTemplates) {
        for (const id of ['1', '42', 'zero']) await session.request('resources/read', { uri: uriTemplate.replace('{resourceId}', id) });
      }
    } },
    { name: 'completion', async run() {
      for (const [ref, argument, context] of COMPLETIONS) await session.request('completion/complete', { ref, argument, ...(context && { context }) });
    } },

    { name: 'logging', covers: 'toggle-simulated-logging', async run() {
      await session.request('logging/setLevel', { level: 'error' });
      await session.request('resources/subscribe', { uri: DOCUMENT }); // would log at "info": must not be heard
      await session.request('logging/setLevel', { level: 'debug' });
      await session.request('resources/unsubscribe', { uri: DOCUMENT });
      await awaitMessage('the log message about the subscription', isLog('Unsubscribe'));
      await call('toggle-simulated-logging');
      await awaitMessage('a simulated log message', isMethod('notifications/message'), 2);
      await call('toggle-simulated-logging');
      await session.request('logging/setLevel', { level: 'shouting' });
    } },
    { name: 'subscription', covers: 'toggle-subscriber-updates', async run() {
      await session.request('resources/subscribe', { uri: DOCUMENT });
      await awaitMessage('the log message about the subscription', isLog('Subscribe'));
      await call('toggle-subscriber-updates');
      await awaitMessage('the update', isMethod('notifications/resources/updated'));
      await call('toggle-subscriber-updates');
      await session.request('resources/unsubscribe', { uri: DOCUMENT });
      await awaitMessage('the log message about the end of the subscription', isLog('Unsubscribe'));
    } },
    { name: 'roots', covers: 'get-roots-list', async run() {
      await call('get-roots-list');
      session.roots = [{ uri: 'file:///reference/three' }];
      await session.notify('notifications/roots/list_changed');
      await awaitMessage('the log message about the new roots', isLog('1 root(s) received'));
      await call('get-roots-list');
    } },
    { name: 'sampling', covers: 'trigger-sampling-request', async run() {
      await call('trigger-sampling-request', { prompt: 'Say something', maxTokens: 20 });
    } },
    { name: 'sampling as a task of the client', covers: 'trigger-sampling-request-async', async run() {
      await call('trigger-sampling-request-async', { prompt: 'Say something, later' });
    } },
    ...[
      { action: 'accept', content: { name: 'Ada Lovelace', check: true, integer: 7, number: 2.5, birthdate: '1815-12-10' } },
      { action: 'decline' },
      { action: 'cancel' },
    ].map((answer) => ({ name: `elicitation, ${answer.action}`, covers: 'trigger-elicitation-request', async run() {
      session.elicitations.push(answer);
      await call('trigger-elicitation-request');
    } })),
    { name: 'elicitation that the client refuses', run: () => call('trigger-elicitation-request') },
    { name: 'elicitation by URL', covers: 'trigger-url-elicitation', async run() {
      const args = { url: 'https://example.invalid/sign-in', elicitationId: 'reference-1' };
      for (const action of ['accept', 'decline', 'cancel']) {
        session.elicitations.push({ action });
        await call('trigger-url-elicitation', args);
      }
      await call('trigger-url-elicitation', { ...args, errorPath: true }); // a JSON-RPC error with data
      session.elicitations.push({ action: 'accept' });
      await call('trigger-url-elicitation', { ...args, errorPath: true }); // the retry
    } },
    { name: 'elicitation as a task of the client', covers: 'trigger-elicitation-request-async', async run() {
      session.elicitations.push({ action: 'accept', content: { name: 'Ada', favoriteColor: 'Green', agreeToTerms: false } });
      await call('trigger-elicitation-request-async');
    } },
    { name: 'task of the server', covers: 'simulate-research-query', async run() {
      session.elicitations.push({ action: 'accept', content: { interpretation: 'technical' } });
      const { task } = await session.request('tools/call', { name: 'simulate-research-query', arguments: { topic: 'tethers', ambiguous: true }, task: { ttl: 60_000 } });
      await session.request('tasks/result', { taskId: task.taskId }); // no polling: how often would depend on the clock
      await awaitMessage('the last status', ({ method, params }) => method === 'notifications/tasks/status' && params.status === 'completed');
      await session.request('tasks/get', { taskId: task.taskId });
      await session.request('tasks/list', {});
      await session.request('tasks/cancel', { taskId: task.taskId }); // too late: an error
      await call('simulate-research-query', { topic: 'not as a task' }); // an error
    } },

    { name: 'progress', covers: 'trigger-long-running-operation', async run() {
      await call('trigger-long-running-operation', { duration: 0.5, steps: 5 }, { onprogress() {} });
      // As the messages arrived: of a progress that comes in one piece with the result the SDK does not tell its caller.
      const order = session.receivedNow(() => true).map(({ params }) => params?.progress ?? 'result').join();
      if (order !== '1,2,3,4,5,result') throw new Error(`progress and result arrived in this order: ${order}`);
      await call('trigger-long-running-operation', { duration: 0.1, steps: 2 }); // nobody asked for progress
    } },
    { name: 'cancellation', async run() {
      // Without a progress token: the server goes on reporting progress of a cancelled call, and whether anyone hears it is luck.
      const abort = new AbortController();
      const pending = call('trigger-long-running-operation', { duration: 0.8, steps: 1 }, { signal: abort.signal });
      await until('the call to reach the server', () => session.serverSaw(({ params }) => params?.arguments?.duration === 0.8));
      abort.abort('the user pressed escape');
      await pending;
      await pause(1_000); // the server is through with it by now
      await session.request('ping');
      const late = session.receivedNow(({ id, result }) => id !== undefined && result?.content);
      if (late.length) throw new Error(`a cancelled call was answered: ${JSON.stringify(late)}`);
    } },
    { name: 'unknown tool', run: () => call('no-such-tool') },
    { name: 'unknown method', run: () => session.request('no/such/method', { deep: [{ er: 1 }] }) },
    { name: 'unknown notification', run: () => session.notify('notifications/no/such', { anything: [1, 2.5, null] }) },
    { name: 'bad arguments', async run() {
      await call('get-sum', { a: 'one' });
      await call('echo', {});
      await session.request('tools/call', { arguments: {} });
      await session.request('prompts/get', { name: 'no-such-prompt' });
    } },
    { name: 'a megabyte', async run() {
      const result = await call('echo', { message: 'ü"\\🛰\n0123456789'.repeat(65_536) });
      if (!(result?.content[0].text.length > 1_000_000)) throw new Error('the echo is too short');
    } },
    { name: 'twenty at once', concurrent: true, async run() {
      await Promise.all(Array.from({ length: 20 }, (_, index) => {
        if (index % 4 === 0) return call('trigger-long-running-operation', { duration: 0.4, steps: 4 }, { onprogress() {} });
        if (index % 4 === 1) return call('get-sum', { a: index, b: index });
        if (index % 4 === 2) return session.request('resources/read', { uri: DOCUMENT });
        return call('echo', { message: `${index} ${'x'.repeat(index * 1000)}` });
      }));
    } },
    { name: 'close', always: true, async run() {
      if (session.complete) this.checkCoverage();
      await session.close();
    }, checkCoverage() {
      const covered = new Set([...session.covered, ...Object.keys(SKIPPED_TOOLS)]);
      const forgotten = [...listed.tools, ...listed.prompts].filter((name) => !covered.has(name));
      if (forgotten.length) session.failures.push(`the scenario has no step for: ${forgotten.join(', ')}`);
    } },
  ];
}
