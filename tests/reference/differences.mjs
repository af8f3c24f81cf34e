// What may differ between two runs, and the printing of what may not.

import { createHash } from 'node:crypto';

/**
 * Facts of a request that legitimately depend on who makes it. `drop`: not compared. `as`: compared in this form.
 * Every header that is not here must be the same, also one that only one side sends.
 */
export const KNOWN_DIFFERENCES = [
  { header: 'user-agent', drop: true, reason: 'names the program' },
  { header: 'host', drop: true, reason: 'the port is chosen anew for each run' },
  { header: 'connection', drop: true, reason: 'concerns the hop, not the message' },
  { header: 'keep-alive', drop: true, reason: 'concerns the hop, not the message' },
  { header: 'content-length', drop: true, reason: 'framing of the hop; bodies are compared themselves' },
  { header: 'transfer-encoding', drop: true, reason: 'framing of the hop; bodies are compared themselves' },
  { header: 'accept-encoding', drop: true, reason: 'which compressions an HTTP stack can undo' },
  { header: 'accept-language', drop: true, reason: 'fetch sends "*" by itself; MCP does not use it' },
  { header: 'sec-fetch-mode', drop: true, reason: 'fetch metadata of browsers, sent by Node too; MCP does not use it' },
  { header: 'accept', method: 'DELETE', drop: true, reason: 'fetch sends "*/*" by itself; there is nothing to accept' },
  { header: 'accept', as: (value) => value.split(',').map((type) => type.trim().toLowerCase()).sort().join(', '), reason: 'order and spaces mean nothing' },
  { header: 'content-type', as: (value) => value.split(';')[0].trim().toLowerCase(), reason: '"; charset=utf-8" means nothing for JSON' },
  { header: 'mcp-session-id', as: () => 'present', reason: 'a fresh session for each run; that there is exactly one is checked' },
];

/** What the SDK reports through `onerror` although nothing is wrong; any other report is a failure. */
export const KNOWN_REPORTS = [
  { pattern: /^Maximum reconnection attempts \(0\) exceeded/, reason: 'direct: resumption is switched off (run.mjs says why), and the SDK says so after each JSON-RPC error' },
  { pattern: /^Received a progress notification for an unknown token/, reason: 'stdio: the SDK handles a notification later than a response that it reads in the same piece; the order itself is compared' },
];

/** Volatile texts, in the order in which they are replaced, within every string of every message. */
export const NORMALISATIONS = [
  { what: 'UUIDs (sessions, elicitations)', pattern: /\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, by: '<uuid>' },
  { what: 'task ids', pattern: /\b[0-9a-f]{32}\b/g, by: '<task id>' },
  { what: 'timestamps', pattern: /\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, by: '<time>' },
  { what: 'the clock in dynamic resources', pattern: /(resource|blob) created at [\d:]+(\s[AP]M)?/g, by: '$1 created at <clock>' },
  { what: 'the port in the answer of get-env', pattern: /"PORT": "\d+"/g, by: '"PORT": "<port>"' },
];

const RANDOM_LOG = /^(Debug|Info|Notice|Warning|Error|Critical|Alert|Emergency)[- ]level[- ]message - SessionId <uuid>$/;
const LONGEST_STRING = 4096;

/** A copy of a message without what changes from run to run. */
export function normalise(value) {
  if (typeof value === 'string') return normaliseText(value);
  if (Array.isArray(value)) return value.map(normalise);
  if (value === null || typeof value !== 'object') return value;
  const copy = {};
  for (const [key, member] of Object.entries(value)) copy[key] = key === 'blob' ? normaliseBlob(member) : normalise(member);
  // The simulated log message is drawn at random from eight.
  if (copy.method === 'notifications/message' && RANDOM_LOG.test(copy.params.data)) copy.params = { level: '<any>', data: '<any simulated log message>' };
  return copy;
}

function normaliseText(text) {
  const stable = NORMALISATIONS.reduce((result, { pattern, by }) => result.replace(pattern, by), text);
  if (stable.length <= LONGEST_STRING) return stable;
  return `<${stable.length} characters, sha256 ${createHash('sha256').update(stable).digest('hex')}>`;
}

function normaliseBlob(blob) {
  const text = Buffer.from(blob, 'base64').toString('utf8');
  return text.includes('blob created at') ? `base64 of: ${normaliseText(text)}` : normaliseText(blob);
}

/** What an exchange of the recorder is, for the order among its like: between these kinds it is left to chance. */
export function kind({ method, message }) {
  if (method !== 'POST') return method;
  if (message.method === undefined) return 'responses';
  return message.id === undefined ? 'notifications' : 'requests';
}

/** The headers of a request that matter, by KNOWN_DIFFERENCES. */
export function headerFacts(method, headers) {
  const facts = {};
  for (const name of Object.keys(headers).sort()) {
    const known = KNOWN_DIFFERENCES.find((row) => row.header === name && (row.method ?? method) === method);
    if (!known?.drop) facts[name] = known ? known.as(headers[name]) : headers[name];
  }
  return facts;
}

/** Compares two runs section by section; returns readable blocks, one per section that differs. */
export function compareRuns(left, right) {
  const blocks = [];
  const titles = new Set([...left.sections.keys(), ...right.sections.keys()]);
  for (const title of titles) {
    const [ours, theirs] = [left, right].map((run) => (run.sections.get(title) ?? []).flatMap((entry) => JSON.stringify(entry, null, 1).split('\n')));
    if (ours.join('\n') === theirs.join('\n')) continue;
    blocks.push([`== ${title}`, `   - ${left.label}   + ${right.label}`, ...diffLines(ours, theirs)].join('\n'));
  }
  return blocks;
}

function diffLines(left, right) {
  let start = 0;
  while (start < left.length && start < right.length && left[start] === right[start]) start += 1;
  let end = 0;
  while (end < left.length - start && end < right.length - start && left.at(-1 - end) === right.at(-1 - end)) end += 1;
  const a = left.slice(start, left.length - end);
  const b = right.slice(start, right.length - end);
  const lines = [...left.slice(Math.max(0, start - 6), start).map((line) => `   ${line}`), ...middle(a, b)];
  lines.push(...left.slice(left.length - end, left.length - end + 3).map((line) => `   ${line}`));
  return lines.length > 120 ? [...lines.slice(0, 120), `   … ${lines.length - 120} more lines`] : lines;
}

/** The classic longest common subsequence; over-long middles are shown whole, first one, then the other. */
function middle(a, b) {
  if (a.length * b.length > 4_000_000) return [...a.map((line) => ` - ${line}`), ...b.map((line) => ` + ${line}`)];
  const length = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) length[i][j] = a[i] === b[j] ? length[i + 1][j + 1] + 1 : Math.max(length[i + 1][j], length[i][j + 1]);
  }
  const lines = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) { lines.push(`   ${a[i]}`); i += 1; j += 1; }
    else if (j >= b.length || (i < a.length && length[i + 1][j] >= length[i][j + 1])) { lines.push(` - ${a[i]}`); i += 1; }
    else { lines.push(` + ${b[j]}`); j += 1; }
  }
  return lines;
}
