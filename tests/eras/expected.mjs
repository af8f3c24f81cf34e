// What every client sees of every server.

import { INFO, INSTRUCTIONS, TOOLS } from './shared.mjs';

const said = (text) => ({ content: [{ type: 'text', text }] });
const given = { text: 'ü 🛰', number: 0.5 };

export const EXPECTED = {
  connect: {
    server: INFO,
    capabilities: {
      tools: { listChanged: true }, resources: { listChanged: true, subscribe: true }, prompts: { listChanged: true }, logging: {}, completions: {},
    },
    instructions: INSTRUCTIONS,
  },
  tools: Object.entries(TOOLS).map(([name, { properties, outputSchema }]) => ({ name, properties, ...(outputSchema && { outputSchema }) })),
  echo: { ...said(JSON.stringify(given)), structuredContent: { given } },
  progress: {
    seen: [1, 2, 3].map((step) => ({ progress: step, total: 3, message: `step ${step}` })),
    slow: said('done after 3 steps'),
  },
  cancellation: { rejected: 'yes', server: said('1 cancelled') },
  edit: { edited: said('edited'), heard: 'note://groesse' },
  touch: { touched: said('touched'), heard: 'changed' },
  'end of the subscription': said('edited'),
  ask: { result: said('eins and zwei'), questions: ['wie viele?', 'wie viele? And again?'] },
  sample: said('the model said: sag was!'),
  roots: said('file:///ü'),
  log: { result: said('logged'), heard: 'a log line' },
  resources: [{ name: 'größe', uri: 'note://groesse', mimeType: 'text/plain' }],
  resource: [{ uri: 'note://groesse', text: 'einsachtzig' }],
  templates: [{ name: 'note', uriTemplate: 'note://{name}' }],
  'resource of a template': [{ uri: 'note://x', text: 'a note about x' }],
  prompts: [{ name: 'grüßen', arguments: [{ name: 'name', required: true }] }],
  prompt: [{ role: 'user', content: { type: 'text', text: 'Please greet Ada.' } }],
  completion: { values: ['Änne'], total: 1, hasMore: false },
  'failing tool': { ...said('as it should'), isError: true },
  'unknown resource': 'number',
  unheard: [],
  closed: true,
};
