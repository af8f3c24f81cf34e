// Every client against every server through mcp-tether: a client of either era sees the same of a server of either era.
//
//   node run.mjs --command PATH [--client "2 auto"] [--server legacy] [--verbose]

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual, parseArgs } from 'node:util';
import { isLegacyRequest } from '@modelcontextprotocol/server';
import { toWebRequest } from '@modelcontextprotocol/node';
import { EXPECTED } from './expected.mjs';
import { legacyHandler } from './legacy.mjs';
import { body, listen, modernHandler } from './modern.mjs';

const TIME_LIMIT = 30_000;
const CLIENTS = ['1 legacy', '2 legacy', '2 auto', '2 2026-07-28'];
const SERVERS = { legacy: legacyOnly, modern: modernOnly, both: dual };

const { values: options } = parseArgs({
  options: { command: { type: 'string' }, client: { type: 'string' }, server: { type: 'string' }, verbose: { type: 'boolean' } },
});
const clients = options.client ? [options.client] : CLIENTS;
const servers = options.server ? [options.server] : Object.keys(SERVERS);
let failed = 0;
for (const server of servers) {
  for (const client of clients) {
    const started = performance.now();
    const broken = await cell(client, server);
    console.log(`${broken.length ? 'FAIL' : 'ok  '} client ${client}, server ${server} (${Math.round(performance.now() - started)} ms)`);
    for (const line of broken) console.log(line);
    failed += broken.length ? 1 : 0;
  }
}
console.log(`${clients.length * servers.length - failed} cells well, ${failed} not`);
process.exitCode = failed ? 1 : 0;

async function cell(client, kind) {
  const { url, stop, sessions } = await SERVERS[kind]();
  try {
    const script = fileURLToPath(new URL('client.mjs', import.meta.url));
    const { code, output, errors } = await finished([process.execPath, script, ...client.split(' '), options.command, '--no-cache', url]);
    const steps = new Map(output.split('\n').filter(Boolean).map((line) => JSON.parse(line)).map(({ step, cameTo }) => [step, cameTo]));
    const broken = [];
    for (const [step, expected] of Object.entries(EXPECTED)) {
      const cameTo = JSON.parse(JSON.stringify(steps.get(step) ?? 'nothing'));
      if (!isDeepStrictEqual(cameTo, expected)) broken.push(`  ${step}: ${JSON.stringify(cameTo)}\n    instead of ${JSON.stringify(expected)}`);
    }
    if (code !== 0) broken.push(`  the client ended with ${code}`);
    if (sessions?.size) broken.push(`  ${sessions.size} sessions were left behind`);
    if (broken.length || options.verbose) broken.push(`  stderr:\n${errors}`);
    return options.verbose && broken.length === 1 ? (console.log(broken[0]), []) : broken;
  } finally {
    await stop();
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

async function legacyOnly() {
  const { handle, stop, sessions } = legacyHandler();
  const server = await listen(async (request, response) => handle(request, response, await message(request)), stop);
  return { ...server, sessions };
}

async function modernOnly() {
  const { handle, stop } = modernHandler();
  return listen(async (request, response) => handle(request, response, await message(request)), stop);
}

async function dual() {
  const legacy = legacyHandler();
  const modern = modernHandler();
  const handle = async (request, response) => {
    const given = await message(request);
    const isLegacy = await isLegacyRequest(await toWebRequest(request, given));
    await (isLegacy ? legacy : modern).handle(request, response, given);
  };
  const server = await listen(handle, async () => { await legacy.stop(); await modern.stop(); });
  return { ...server, sessions: legacy.sessions };
}

async function message(request) {
  return request.method === 'POST' ? JSON.parse(await body(request)) : undefined;
}
