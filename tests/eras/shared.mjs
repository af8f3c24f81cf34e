// What the servers of both eras have in common.

export const INFO = { name: 'an-era', version: '1.0.0', title: 'Grüße 🛰' };
export const INSTRUCTIONS = 'Tools to try a proxy with.';

const string = { type: 'string' };
const tool = (properties, more = {}) => ({ description: 'A tool', properties, ...more });
export const TOOLS = {
  echo: tool({ text: string, number: { type: 'number' } }, {
    outputSchema: { type: 'object', properties: { given: { type: 'object' } }, required: ['given'] },
    annotations: { readOnlyHint: true },
  }),
  slow: tool({ steps: { type: 'integer' } }),
  proceed: tool({}),
  endless: tool({}),
  cancelled: tool({}),
  touch: tool({}),
  edit: tool({ uri: string }),
  ask: tool({ question: string }),
  sample: tool({ text: string }),
  roots: tool({}),
  log: tool({ level: string }),
  fail: tool({}),
};

export const sentence = (text) => ({ content: [{ type: 'text', text }] });
export const note = (uri, text) => ({ contents: [{ uri, text }] });
export const names = (value) => ['Ada', 'Änne', 'Grace'].filter((name) => name.startsWith(value));

/** A number that can be waited for. */
export function counter() {
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
