// Compares two ways of an official client to a server: the SDK's own HTTP transport, and mcp-tether over stdio. What the
// client saw and what the server got must be the same, for each way of choosing the revision.
//
//   node compare.mjs --command PATH [--python PATH] [--mode MODE]

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { compareRuns, headerFacts, kind } from '../reference/differences.mjs';
import { startRecorder } from '../reference/recorder.mjs';
import { startServer } from './server.mjs';

const TIME_LIMIT = 30_000;
const MODES = ['2026-07-28', 'auto', 'legacy'];
/** The headers of the call `parameters`: what is not plain ASCII, has spaces around it or looks encoded, is encoded. */
const PARAMETERS = [
  ['mcp-param-city', '=?base64?TcO8bmNoZW4=?='],
  ['mcp-param-count', '-42'],
  ['mcp-param-floor', '3'],
  ['mcp-param-note', '=?base64?IGxlYWRpbmc=?='],
  ['mcp-param-region', 'us-west1'],
  ['mcp-param-tricky', '=?base64?PT9iYXNlNjQ/Wm05dj89?='],
  ['mcp-param-urgent', 'false'],
];
const here = (name) => fileURLToPath(new URL(name, import.meta.url));

const { values: options } = parseArgs({
  options: { command: { type: 'string' }, python: { type: 'string' }, mode: { type: 'string' } },
});
const client = options.python ? [options.python, here('client.py')] : [process.execPath, here('client.mjs')];

let failed = 0;
const modes = options.mode ? [options.mode] : MODES;
for (const mode of modes) {
  const direct = await run(mode, 'direct');
  const through = await run(mode, options.command);
  const broken = [...compareRuns(direct, through), ...[direct, through].flatMap((each) => brokenPromises(mode, each))];
  console.log(`${broken.length ? 'FAIL' : 'ok  '} ${mode}: ${through.steps.length} steps, ${through.exchanges.length} requests`);
  if (!broken.length) continue;
  failed += 1;
  for (const sentence of broken) console.log(sentence);
  for (const { label, errors } of [direct, through]) console.log(`stderr, ${label}:\n${errors}`);
}
console.log(`${modes.length - failed} modes identical, ${failed} different`);
process.exit(failed ? 1 : 0);

/** One conversation with a fresh server: `{ label, steps, exchanges, ends, code, errors, sections }`. */
async function run(mode, command) {
  const isDirect = command === 'direct';
  const folder = mkdtempSync(join(tmpdir(), 'mcp-tether-sdks-'));
  const notes = join(folder, 'ends');
  writeFileSync(notes, '');
  const server = await startServer();
  const recorder = await startRecorder(server.port);
  try {
    const way = isDirect ? ['direct'] : [process.execPath, here('watch.mjs'), notes, command, '--no-cache'];
    const { code, output, errors } = await finished([...client, mode, ...way, recorder.url]);
    const steps = output.split('\n').filter(Boolean).map((line) => JSON.parse(line));
    const { exchanges } = recorder;
    const sections = new Map([['what the client saw', steps]]);
    for (const exchange of exchanges.filter((each) => !isLeftOut(each))) {
      const title = `what the server got, ${kind(exchange)}`;
      sections.set(title, [...(sections.get(title) ?? []), entry(exchange)]);
    }
    const ends = isDirect ? undefined : readFileSync(notes, 'utf8').trim().split('\n');
    return { label: isDirect ? 'direct' : 'through mcp-tether', steps, exchanges, ends, code, errors, sections };
  } finally {
    await recorder.stop();
    await server.stop();
    rmSync(folder, { recursive: true });
  }
}

function finished([program, ...args]) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const patience = setTimeout(() => child.kill('SIGKILL'), TIME_LIMIT);
  let output = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text) => { output += text; });
  child.stderr.setEncoding('utf8').on('data', (text) => { errors += text; });
  return new Promise((resolve) => child.on('close', (code) => {
    clearTimeout(patience);
    resolve({ code, output, errors });
  }));
}

/** The SDKs tell of a cancellation on every transport; over HTTP it is the end of the stream alone that means it. */
function isLeftOut({ headers, message }) {
  return message?.method === 'notifications/cancelled' && headers['mcp-protocol-version'] === MODES[0];
}

/** A request without what is chosen anew for each run. */
function entry({ method, path, status, headers, message }) {
  const copy = structuredClone(message ?? {});
  delete copy.id;
  delete copy.params?._meta?.progressToken;
  delete copy.params?.requestId;
  // Of a request without a body only MCP's own headers count: what else the SDKs send along then differs between them.
  const all = Object.entries(headerFacts(method, headers));
  const facts = method === 'POST' ? all : all.filter(([name]) => name.startsWith('mcp-'));
  return { http: `${method} ${path} -> ${status}`, headers: Object.fromEntries(facts), message: copy };
}

/** What must hold in every run, however equal two runs may be; returns sentences about what does not. */
function brokenPromises(mode, { label, steps, exchanges, ends, code }) {
  const kinds = new Set(exchanges.map(kind));
  const broken = [];
  const must = (condition, sentence) => { if (!condition) broken.push(`!! ${label}: ${sentence}`); };
  must(code === 0 && steps.at(-1)?.step === 'closed', `the client comes to its end: ${code} after ${steps.at(-1)?.step}`);
  if (ends) must(ends.at(-1) === '0', `the process ends by itself, with code 0: ${ends}`);
  if (mode === 'legacy') {
    must(kinds.has('GET') && kinds.has('DELETE'), `this era has a stream and an end of the session: ${[...kinds]}`);
    return broken;
  }
  if (ends) must([...kinds].join() === 'requests', `nothing but requests goes to the server: ${[...kinds]}`);
  const parameters = Object.entries(exchanges.find(({ message }) => message?.params?.arguments?.region)?.headers ?? {})
    .filter(([name]) => name.startsWith('mcp-param-'));
  must(JSON.stringify(parameters.sort()) === JSON.stringify(PARAMETERS), `parameters travel as headers: ${JSON.stringify(parameters)}`);
  return broken;
}
