#!/usr/bin/env node
// The older transport (HTTP+SSE): the reference server in its `sse` mode, which is the SDK's SSEServerTransport, driven by the
// official client directly and through a command that is given the URL (mcp-tether), which finds out by itself or is told. The
// whole scenario of the other comparison; what every call came to and all that the client received must be the same. Then the
// server is restarted under the client.

import process from 'node:process';
import { parseArgs } from 'node:util';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { ResultSchema } from '@modelcontextprotocol/sdk/types.js';
import { createClient } from './client.mjs';
import { compareRuns, normalise } from './differences.mjs';
import { createScenario } from './scenario.mjs';
import { killAll, pause, startReferenceServer, until } from './server.mjs';

const TIME_LIMIT = 150_000;
const REQUEST_TIMEOUT = 15_000;
const CALLS_AT_ONCE = 10;

process.on('exit', killAll);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(2));
setTimeout(() => { console.error(`gave up after ${TIME_LIMIT / 1000} s`); process.exit(2); }, TIME_LIMIT).unref();

const { values } = parseArgs({ options: { command: { type: 'string' } } });
if (!values.command) {
  console.error('usage: node sse.mjs --command PATH');
  process.exit(2);
}
try {
  process.exitCode = await main(values.command);
} catch (error) {
  console.error(error.stack);
  process.exitCode = 2;
}
process.exit();

async function main(command) {
  const direct = await run('direct', (url) => new SSEClientTransport(new URL(url)));
  const through = (args) => (url) => new StdioClientTransport({ command, args: ['--no-cache', ...args, url], stderr: 'inherit' });
  const others = [
    await run('through the command', through([])),
    await run('through the command, told', through(['--transport', 'sse-only'])),
  ];
  const failures = [direct, ...others].flatMap(({ label, failures: theirs }) => theirs.map((sentence) => `!! ${label}: ${sentence}`));
  const blocks = others.flatMap((other) => compareRuns(direct, other));
  for (const text of [...failures, ...blocks.slice(0, 8)]) console.log(text);
  if (failures.length || blocks.length) {
    console.log(`${blocks.length} sections differ, ${failures.length} failures`);
    return 1;
  }
  const calls = await restart(command);
  console.log(`${direct.steps} steps over HTTP+SSE, identical; ${calls} calls over a restart`);
  return 0;
}

/** The whole scenario with a fresh server. */
async function run(label, transportTo) {
  const server = await startReferenceServer(undefined, 'sse');
  const session = createSession(transportTo(`http://127.0.0.1:${server.port}/sse`));
  const sections = new Map();
  const scenario = createScenario(session);
  session.complete = true;
  try {
    for (const step of scenario) {
      session.step = step;
      if (step.covers) session.covered.add(step.covers);
      try {
        await step.run();
        await settle(session);
      } catch (error) {
        session.failures.push(`step "${step.name}": ${error.message}`);
        if (step.name === 'initialize') break;
      }
      // Notifications and answers may overtake each other; what comes is compared, not when.
      const sorted = (entries) => entries.map((entry) => normalise(entry)).sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
      sections.set(`${step.name} / what the calls came to`, sorted(session.outcomes.splice(0)));
      sections.set(`${step.name} / to the client`, sorted(session.received.splice(0)));
    }
    return { label, sections, steps: scenario.length, failures: session.failures };
  } finally {
    await session.close().catch(() => {});
    await server.stop();
  }
}

/** Waits until nothing has come for a moment. */
async function settle(session) {
  if (!session.closing) await until('quiet', () => performance.now() - session.lastActivity > 60, 5_000);
}

function createSession(transport) {
  const session = {
    step: undefined, sent: [], received: [], outcomes: [], failures: [], notes: [], closing: false,
    lastActivity: performance.now(),
    roots: [{ uri: 'file:///reference/one', name: 'One' }, { uri: 'file:///reference/zwei%20%C3%BC', name: 'Zwei ü' }],
    elicitations: [],
    covered: new Set(),
    connect, request, notify, close,
    receivedNow: (test) => session.received.filter((message) => test(message)),
    serverSaw: (test) => session.sent.some((message) => test(message)),
  };
  const client = createClient(session);
  return session;

  async function connect() {
    const send = transport.send.bind(transport);
    transport.send = (message, options) => {
      session.sent.push(structuredClone(message));
      session.lastActivity = performance.now();
      return send(message, options);
    };
    let deliver;
    Object.defineProperty(transport, 'onmessage', {
      get: () => deliver && ((message, extra) => {
        session.received.push(structuredClone(message));
        session.lastActivity = performance.now();
        deliver(message, extra);
      }),
      set: (handler) => { deliver = handler; },
    });
    await client.connect(transport, { timeout: REQUEST_TIMEOUT });
  }

  async function request(method, params, options = {}) {
    try {
      const result = await client.request({ method, params }, ResultSchema, { timeout: REQUEST_TIMEOUT, ...options });
      session.outcomes.push({ method, result });
      return result;
    } catch (error) {
      session.outcomes.push({ method, error: error.message, code: error.code, data: error.data });
      if (error.code === -32001 && !options.signal?.aborted) session.failures.push(`step "${session.step.name}": ${method}: ${error.message}`);
      return undefined;
    }
  }

  function notify(method, params) {
    return client.notification({ method, params });
  }

  async function close() {
    session.closing = true;
    await client.close();
  }
}

/** Kills and restarts the server under a client; tells how many calls were answered. */
async function restart(command) {
  let server = await startReferenceServer(undefined, 'sse');
  const client = new Client({ name: 'mcp-tether-sse', version: '1.0.0' }, { capabilities: {} });
  await client.connect(new StdioClientTransport({ command, args: ['--no-cache', `http://127.0.0.1:${server.port}/sse`], stderr: 'inherit' }));
  await client.setLoggingLevel('debug');
  await client.listTools();
  const echo = async (message) => {
    const result = await client.callTool({ name: 'echo', arguments: { message } });
    if (result.content[0].text !== `Echo: ${message}`) throw new Error(`another echo than ${message}: ${JSON.stringify(result)}`);
  };
  await echo('before');
  await server.stop();
  // Half of the calls are made while nobody listens.
  const early = Array.from({ length: CALLS_AT_ONCE / 2 }, (_, number) => echo(`early ${number}`));
  await pause(20);
  server = await startReferenceServer(server.port, 'sse');
  const late = Array.from({ length: CALLS_AT_ONCE / 2 }, (_, number) => echo(`late ${number}`));
  await Promise.all([...early, ...late]);
  await client.close();
  await server.stop();
  return CALLS_AT_ONCE + 1;
}
