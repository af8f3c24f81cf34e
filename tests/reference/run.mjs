// One run: a fresh server behind a fresh recorder, the official client on the other side (directly, or through a command),
// the whole scenario, and then everything that was said, sorted into sections that can be compared.

import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { ResultSchema } from '@modelcontextprotocol/sdk/types.js';
import { createClient } from './client.mjs';
import { headerFacts, kind, normalise } from './differences.mjs';
import { startRecorder } from './recorder.mjs';
import { createScenario } from './scenario.mjs';
import { own, pause, startReferenceServer, until } from './server.mjs';

const REQUEST_TIMEOUT = 15_000;

/**
 * Runs the scenario once. `command` is undefined for the direct connection, else `{ path, args }`; `only` is a list of step
 * names, or undefined. Returns `{ label, sections, steps, failures, notes }`; sections are `title -> entries`.
 */
export async function run({ label, command, only, log }) {
  const server = await startReferenceServer();
  const recorder = await startRecorder(server.port);
  const session = createSession(recorder, command);
  try {
    const started = performance.now();
    const steps = await runSteps(session, recorder, only, log);
    const result = { label, steps, sections: sectionsOf(session, recorder, steps), failures: session.failures, notes: session.notes };
    result.failures.push(...brokenPromises(recorder, session, Boolean(command)));
    log(`${label}: ${steps.length} steps, ${recorder.exchanges.length} HTTP requests, ${((performance.now() - started) / 1000).toFixed(1)} s`);
    return result;
  } finally {
    await session.kill();
    await recorder.stop();
    await server.stop();
  }
}

async function runSteps(session, recorder, only, log) {
  const scenario = createScenario(session);
  const wanted = scenario.filter((step) => !only || step.always || only.includes(step.name));
  const missing = (only ?? []).filter((name) => !scenario.some((step) => step.name === name));
  if (missing.length) throw new Error(`no such step: ${missing.join(', ')}; there are: ${scenario.map((step) => step.name).join(', ')}`);
  session.complete = !only;
  for (const step of wanted) {
    const started = performance.now();
    session.step = step;
    if (step.covers) session.covered.add(step.covers);
    recorder.step = step.name;
    try {
      await step.run();
      if (!session.closing) await settle(session, recorder);
    } catch (error) {
      session.failures.push(`step "${step.name}": ${error.message}`);
      if (step.name === 'initialize') break;
    }
    const inStep = (list) => list.filter((record) => record.step === step.name).length;
    log(`  ${step.name}: ${inStep(session.sent)} messages sent, ${inStep(session.received)} received, ${Math.round(performance.now() - started)} ms`, true);
  }
  return wanted;
}

/** Waits until every message that left one end in this step has reached the other, and nothing has moved for a moment. */
async function settle(session, recorder) {
  const inStep = (list) => list.filter(({ step }) => step === recorder.step);
  const balance = () => ({
    sent: inStep(session.sent).length,
    arrived: inStep(recorder.exchanges).filter(({ method }) => method === 'POST').length,
    forwarded: recorder.forwardedIn(recorder.step),
    received: inStep(session.received).length,
  });
  const balanced = ({ sent, arrived, forwarded, received }) => sent === arrived && forwarded === received;
  const quiet = () => performance.now() - Math.max(recorder.lastActivity, session.lastActivity) > 30;
  try {
    await until('balance', () => balanced(balance()) && quiet(), 5_000);
  } catch {
    const now = balance();
    if (balanced(now)) return; // busy, but nothing is lost
    throw new Error(`messages are missing or too many: the client sent ${now.sent}, the server got ${now.arrived}; the server sent ${now.forwarded}, the client got ${now.received}`);
  }
}

/** The client with its taps, and what a step may use. */
function createSession(recorder, command) {
  const session = {
    step: undefined,
    /** Every message in either direction as the client handled it: { step, message } and { step, lane, message }. */
    sent: [], received: [], outcomes: [], failures: [], notes: [],
    stdoutLines: [],
    lastActivity: performance.now(),
    closing: false,
    exit: undefined,
    roots: [{ uri: 'file:///reference/one', name: 'One' }, { uri: 'file:///reference/zwei%20%C3%BC', name: 'Zwei ü' }],
    /** Answers to the next elicitations, in order. */
    elicitations: [],
    /** Tools and prompts that steps of this run have covered. */
    covered: new Set(),
    connect, request, notify, receivedNow, close, kill,
    serverSaw: (test) => recorder.exchanges.some((exchange) => exchange.message && test(exchange.message)),
  };
  const transport = command
    ? new StdioClientTransport({ command: command.path, args: ['--no-cache', ...command.args, recorder.url], stderr: 'pipe' })
    // No resumption in the direct run: the SDK resumes every stream that ended with a JSON-RPC error although it is complete,
    // and the reference server then repeats the later events of all streams.
    : new StreamableHTTPClientTransport(new URL(recorder.url), { reconnectionOptions: { maxRetries: 0, initialReconnectionDelay: 1000, maxReconnectionDelay: 1000, reconnectionDelayGrowFactor: 1 } });
  const client = createClient(session);
  return session;

  async function connect() {
    const start = transport.start.bind(transport);
    transport.start = async () => {
      await start();
      if (command) tapProcess();
    };
    const send = transport.send.bind(transport);
    transport.send = (message, options) => {
      session.sent.push({ step: session.step.name, message: structuredClone(message) });
      session.lastActivity = performance.now();
      return send(message, options);
    };
    // The client takes over `onmessage` when it connects; what it puts there is called after the note.
    let deliver;
    Object.defineProperty(transport, 'onmessage', {
      get: () => deliver && ((message, extra) => {
        const copy = structuredClone(message);
        session.received.push({ step: session.step.name, lane: recorder.claimLane(copy), message: copy });
        session.lastActivity = performance.now();
        deliver(message, extra);
      }),
      set: (handler) => { deliver = handler; },
    });
    await client.connect(transport, { timeout: REQUEST_TIMEOUT });
  }

  /** The raw lines of the command: the SDK hands out parsed messages only, so this looks under its hood (its version is pinned). */
  function tapProcess() {
    const child = transport._process;
    own(child);
    let text = '';
    child.stdout.on('data', (chunk) => { text += chunk.toString('latin1'); takeLines(); });
    child.once('exit', (code, signal) => { session.exit = { code, signal }; });
    let errors = '';
    transport.stderr.on('data', (chunk) => { errors += chunk; session.notes = [`stderr of the command:\n${errors.slice(-4000)}`]; });
    function takeLines() {
      const lines = text.split('\n');
      text = lines.pop();
      session.stdoutLines.push(...lines.map((line) => Buffer.from(line, 'latin1').toString('utf8')));
    }
  }

  /** Sends a request; the outcome goes into the record. An error that the server may answer is an outcome, too. */
  async function request(method, params, options = {}) {
    try {
      const result = await client.request({ method, params }, ResultSchema, { timeout: REQUEST_TIMEOUT, ...options });
      session.outcomes.push({ step: session.step.name, outcome: { method, result: Object.keys(result) } });
      return result;
    } catch (error) {
      session.outcomes.push({ step: session.step.name, outcome: { method, error: error.message, code: error.code, data: error.data } });
      if (error.code === -32001 && !options.signal?.aborted) session.failures.push(`step "${session.step.name}": ${method}: ${error.message}`);
      return undefined;
    }
  }

  function notify(method, params) {
    return client.notification({ method, params });
  }

  /** Messages the client received in this step and that pass the test. */
  function receivedNow(test) {
    return session.received.filter(({ step, message }) => step === session.step.name && test(message)).map(({ message }) => message);
  }

  async function close() {
    session.closing = true;
    if (!command) await transport.terminateSession();
    await client.close();
    if (command) await until('the command to end', () => session.exit, 3_000);
    await until('the session to be deleted', () => recorder.exchanges.some(({ method, status }) => method === 'DELETE' && status), 3_000);
    await pause(50); // time for something that should not come
  }

  async function kill() {
    session.closing = true;
    if (command && transport.pid) process.kill(transport.pid, 'SIGKILL');
    await client.close().catch(() => {});
  }
}

/** Sorts what was said into sections: `step / where` -> entries in an order that means something. */
function sectionsOf(session, recorder, steps) {
  const sections = new Map();
  const add = (title, entry) => sections.set(title, [...(sections.get(title) ?? []), entry]);
  for (const step of steps) {
    const mine = ({ step: name }) => name === step.name;
    const outcomes = session.outcomes.filter(mine).map(({ outcome }) => normalise(outcome));
    // Order means nothing between requests that are under way at once.
    if (step.concurrent) outcomes.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
    for (const outcome of outcomes) add(`${step.name} / what the calls came to`, outcome);
    for (const { lane, message } of session.received.filter(mine)) add(`${step.name} / to the client, stream ${lane}`, normalise(message));
    const exchanges = recorder.exchanges.filter(mine);
    if (step.concurrent) exchanges.sort((a, b) => (a.message?.id ?? 0) - (b.message?.id ?? 0));
    for (const exchange of exchanges) {
      const { method, path, status, headers, message } = exchange;
      add(`${step.name} / to the server, ${kind(exchange)}`, { http: `${method} ${path} -> ${status}`, headers: headerFacts(method, headers), message: message && normalise(message) });
    }
  }
  return sections;
}

/** What must hold in every run, however equal two runs may be; returns sentences about what does not. */
function brokenPromises(recorder, session, throughCommand) {
  const broken = [];
  const must = (condition, sentence) => { if (!condition) broken.push(sentence); };
  const { exchanges } = recorder;
  const position = (test) => exchanges.findIndex(test);
  const isMethod = (name) => ({ message }) => message?.method === name;

  const sessions = new Set(exchanges.map(({ session: id, headers }) => headers['mcp-session-id'] ?? id).filter(Boolean));
  must(sessions.size === 1, `exactly one session is used: ${sessions.size} were`);
  const streams = exchanges.filter(({ method, headers }) => method === 'GET' && !headers['last-event-id']);
  must(streams.length === 1, `the GET stream is opened once: it was ${streams.length} times`);
  const resumptions = exchanges.filter(({ headers }) => headers['last-event-id']);
  must(resumptions.length === 0, `no stream is resumed, as none was cut: ${resumptions.length} were`);
  const deletions = exchanges.filter(({ method }) => method === 'DELETE');
  must(deletions.length === 1, `the session is deleted once: it was ${deletions.length} times`);
  must(exchanges.at(-1)?.method === 'DELETE', 'DELETE is the last request');

  const initialized = position(isMethod('notifications/initialized'));
  must(position(isMethod('initialize')) === 0 && initialized === 1, 'nothing reaches the server before initialize and notifications/initialized');
  const cancelled = exchanges.filter(isMethod('notifications/cancelled'));
  for (const exchange of cancelled) {
    const target = position(({ message }) => message?.method && message.id === exchange.message.params.requestId);
    must(target !== -1 && target < exchanges.indexOf(exchange), 'a cancellation follows its request');
  }
  if (throughCommand) broken.push(...changedBytes(recorder, session));
  if (throughCommand) must(session.exit?.code === 0, `the command ends by itself with exit code 0: ${JSON.stringify(session.exit)}`);
  return broken;
}

/** Byte for byte: every line from the command is one message of the server as it came, and the other way round. */
function changedBytes(recorder, session) {
  const toClient = leftOver(recorder.exchanges.flatMap(({ payloads }) => payloads), session.stdoutLines);
  const toServer = leftOver(session.sent.map(({ message }) => JSON.stringify(message)), recorder.exchanges.filter(({ method }) => method === 'POST').map(({ body }) => body));
  const show = (texts) => texts.slice(0, 3).map((text) => `\n      ${text.slice(0, 300)}`).join('');
  return [
    toClient.missing.length && `${toClient.missing.length} messages of the server were not handed out byte for byte:${show(toClient.missing)}`,
    toClient.extra.length && `${toClient.extra.length} lines of the command were never sent so by the server:${show(toClient.extra)}`,
    toServer.missing.length && `${toServer.missing.length} messages of the client were not sent on byte for byte:${show(toServer.missing)}`,
    toServer.extra.length && `${toServer.extra.length} bodies that the server got were never written so by the client:${show(toServer.extra)}`,
  ].filter(Boolean);
}

function leftOver(expected, actual) {
  const count = new Map();
  for (const text of expected) count.set(text, (count.get(text) ?? 0) + 1);
  const extra = actual.filter((text) => {
    const left = count.get(text) ?? 0;
    if (left) count.set(text, left - 1);
    return left === 0;
  });
  return { missing: [...count].filter(([, left]) => left > 0).map(([text]) => text), extra };
}
