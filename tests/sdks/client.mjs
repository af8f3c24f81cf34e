// The official TypeScript client: does everything once and prints what it came to, a line of JSON each.
//
//   node client.mjs MODE direct URL
//   node client.mjs MODE COMMAND [ARGUMENT...] URL

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

const [mode, command, ...args] = process.argv.slice(2);
const client = new Client({ name: 'official-client', version: '1.0.0' }, {
  capabilities: { elicitation: { form: {} } },
  versionNegotiation: { mode: mode === 'legacy' || mode === 'auto' ? mode : { pin: mode } },
});
const transport = command === 'direct'
  ? new StreamableHTTPClientTransport(new URL(args.at(-1)))
  : new StdioClientTransport({ command, args, stderr: 'inherit' });
client.setRequestHandler('elicitation/create', ({ params }) => {
  tell('asked', params.message);
  return { action: 'accept', content: { answer: 'zweiundvierzig ü' } };
});

await client.connect(transport);
const isModern = client.getNegotiatedProtocolVersion() >= '2026';
tell('connect', {
  revision: client.getNegotiatedProtocolVersion(), server: client.getServerVersion(),
  capabilities: client.getServerCapabilities(), instructions: client.getInstructions(),
});

const { tools } = await client.listTools();
tell('tools', tools);
const given = { region: 'us-west1', city: 'München', note: ' leading', tricky: '=?base64?Zm9v?=', count: -42, urgent: false, where: { floor: 3 }, plain: 'ü' };
tell('parameters', await client.callTool({ name: 'route', arguments: given }));
tell('a parameter that is null', await client.callTool({ name: 'route', arguments: { city: null, count: 7 } }).catch(told));

const seen = [];
const slow = await client.callTool({ name: 'slow', arguments: { steps: 3 } }, {
  onprogress(progress) {
    seen.push(progress);
    if (progress.progress === 3) client.callTool({ name: 'proceed', arguments: {} });
  },
});
tell('progress', { seen, slow });

const abort = new AbortController();
const endless = client.callTool({ name: 'endless', arguments: {} }, { signal: abort.signal, onprogress: () => abort.abort('enough') });
tell('cancellation', { rejected: await endless.then(() => 'no', () => 'yes'), server: await client.callTool({ name: 'cancelled', arguments: {} }) });

const changed = new Promise((resolve) => client.setNotificationHandler('notifications/tools/list_changed', () => resolve('changed')));
const subscription = isModern ? await client.listen({ toolsListChanged: true }) : undefined;
const touched = await client.callTool({ name: 'touch', arguments: {} });
tell('subscription', { honoured: subscription?.honoredFilter, touched, changed: await changed });
await subscription?.close();
if (subscription) tell('end of the subscription', await client.callTool({ name: 'unsubscribed', arguments: {} }));

tell('question', await client.callTool({ name: 'ask', arguments: { question: 'wie viele?' } }));
tell('resources', await client.listResources());
tell('resource', await client.readResource({ uri: 'note://größe' }));
tell('templates', await client.listResourceTemplates());
tell('resource of a template', await client.readResource({ uri: 'note://x' }));
tell('prompts', await client.listPrompts());
tell('prompt', await client.getPrompt({ name: 'grüßen', arguments: { name: 'Ada' } }));
tell('completion', await client.complete({ ref: { type: 'ref/prompt', name: 'grüßen' }, argument: { name: 'name', value: 'Ä' } }));
tell('failing tool', await client.callTool({ name: 'fail', arguments: {} }).catch(told));
tell('unknown tool', await client.callTool({ name: 'no-such-tool', arguments: {} }).catch(told));
tell('unknown resource', await client.readResource({ uri: 'other://none' }).catch(told));
if (!isModern && command === 'direct') await transport.terminateSession();
await client.close();
tell('closed', true);

function tell(step, cameTo) {
  process.stdout.write(`${JSON.stringify({ step, cameTo })}\n`);
}

function told({ code, message, data }) {
  return { code, message, data };
}
