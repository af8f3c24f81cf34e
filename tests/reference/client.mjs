// The local client of every comparison: the official one, which can do all that a server may ask of a client, and answers at once
// or as a task.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { InMemoryTaskStore } from '@modelcontextprotocol/sdk/experimental/tasks';
import { CreateMessageRequestSchema, ElicitRequestSchema, ListRootsRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { KNOWN_REPORTS } from './differences.mjs';

/** A client that answers what `session` has prepared (`roots`, `elicitations`), and notes in its `failures` what it reports. */
export function createClient(session) {
  const client = new Client({ name: 'mcp-tether-reference', version: '1.0.0', title: 'Grüße 🛰' }, {
    capabilities: {
      sampling: {},
      elicitation: { form: {}, url: {} },
      roots: { listChanged: true },
      tasks: { list: {}, cancel: {}, requests: { sampling: { createMessage: {} }, elicitation: { create: {} } } },
    },
    taskStore: new InMemoryTaskStore(),
  });
  client.setRequestHandler(ListRootsRequestSchema, () => ({ roots: session.roots }));
  client.setRequestHandler(CreateMessageRequestSchema, (incoming, extra) => answer(incoming, extra, {
    role: 'assistant', model: 'canned', stopReason: 'endTurn', content: { type: 'text', text: 'A canned answer: "ü" \\ \u2028 🛰' },
  }));
  client.setRequestHandler(ElicitRequestSchema, (incoming, extra) => {
    const next = session.elicitations.shift();
    if (!next) throw new Error('no answer is prepared for this elicitation');
    return answer(incoming, extra, next);
  });
  client.onerror = (error) => {
    if (session.closing || KNOWN_REPORTS.some(({ pattern }) => pattern.test(error.message))) return;
    session.failures.push(`step "${session.step?.name}": the client reports: ${error.message}`);
  };
  return client;

  /** Answers at once, or as a task that takes a moment, whichever the server asked for. */
  async function answer(incoming, extra, result) {
    if (!incoming.params.task) return result;
    const task = await extra.taskStore.createTask({ ttl: incoming.params.task.ttl });
    // Well before the server asks for the status, which it does after a second.
    setTimeout(() => extra.taskStore.storeTaskResult(task.taskId, 'completed', result), 100);
    return { task };
  }
}
