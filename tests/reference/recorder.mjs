// A recording reverse proxy: stands before the reference server, hands everything through unbuffered, and notes every HTTP
// exchange: the request, and each JSON-RPC message of the answer with the stream it came on. It changes nothing.

import http from 'node:http';
import { StringDecoder } from 'node:string_decoder';

/** JSON with sorted keys: the same text for the same value. */
export function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  return `{${Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(',')}}`;
}

export async function startRecorder(upstreamPort) {
  const recorder = {
    url: '',
    /** The step that is running; stamped on every exchange. */
    step: '',
    /** Every HTTP exchange, in the order in which requests arrived. */
    exchanges: [],
    /** How many messages went towards the client during a step. */
    forwardedIn: (step) => forwarded.get(step) ?? 0,
    lastActivity: performance.now(),
    claimLane,
    stop,
  };
  // What went towards the client and was not claimed yet: canonical text -> names of the streams.
  const unclaimed = new Map();
  const forwarded = new Map();

  const server = http.createServer((request, response) => {
    const exchange = {
      step: recorder.step, method: request.method, path: request.url, headers: request.headers,
      body: '', message: undefined, lane: request.method, status: undefined, session: undefined, payloads: [],
    };
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      exchange.body = body.toString('utf8');
      if (exchange.body) {
        try { exchange.message = JSON.parse(exchange.body); } catch { exchange.message = { unparsable: exchange.body }; }
        const { method, id } = exchange.message;
        exchange.lane = method && id !== undefined ? `POST ${method} #${id}` : `POST ${method ?? `response #${id}`}`;
      }
      recorder.lastActivity = performance.now();
      recorder.exchanges.push(exchange);
      forward(exchange, body, request, response);
    });
  });
  // A connection that is closed for idleness just as it is used again would be a difference that nobody made.
  server.keepAliveTimeout = 0;
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  recorder.url = `http://127.0.0.1:${server.address().port}/mcp`;
  return recorder;

  function forward(exchange, body, request, response) {
    const headers = { ...request.headers };
    for (const name of ['connection', 'keep-alive', 'transfer-encoding', 'content-length']) delete headers[name];
    if (body.length) headers['content-length'] = body.length;
    const upstream = http.request({
      host: '127.0.0.1', port: upstreamPort, method: request.method, path: request.url, headers, agent: false,
    });
    upstream.on('response', (answer) => {
      exchange.status = answer.statusCode;
      exchange.session = answer.headers['mcp-session-id'];
      const answerHeaders = { ...answer.headers };
      for (const name of ['connection', 'keep-alive', 'transfer-encoding']) delete answerHeaders[name];
      response.writeHead(answer.statusCode, answerHeaders);
      response.flushHeaders();
      const read = reader(exchange, answer.headers['content-type'] ?? '');
      answer.on('data', (chunk) => {
        // First the note, then the bytes: whoever receives a message can look up where it came from.
        read(chunk);
        if (!response.write(chunk)) {
          answer.pause();
          response.once('drain', () => answer.resume());
        }
      });
      answer.on('end', () => { read(undefined); response.end(); });
      answer.on('error', () => response.destroy());
    });
    upstream.on('error', () => response.destroy());
    response.on('close', () => { if (!response.writableFinished) upstream.destroy(); });
    upstream.end(body);
  }

  /** Reads an answer on its way through; `undefined` is its end. */
  function reader(exchange, type) {
    const decoder = new StringDecoder('utf8');
    const stream = type.startsWith('text/event-stream');
    const json = type.startsWith('application/json');
    let text = '';
    return (chunk) => {
      recorder.lastActivity = performance.now();
      text += chunk === undefined ? decoder.end() : decoder.write(chunk);
      if (json && chunk === undefined && exchange.status < 300) note(exchange, text);
      if (!stream) return;
      for (;;) {
        const gap = /\r?\n\r?\n/.exec(text);
        if (!gap) return;
        const event = text.slice(0, gap.index);
        text = text.slice(gap.index + gap[0].length);
        const data = event.split(/\r?\n/).filter((line) => line.startsWith('data:')).map((line) => line.slice(5).replace(/^ /, ''));
        note(exchange, data.join('\n'));
      }
    };
  }

  function note(exchange, payload) {
    if (!payload) return; // a priming event or a keep-alive
    exchange.payloads.push(payload);
    const key = canonical(JSON.parse(payload));
    unclaimed.set(key, [...(unclaimed.get(key) ?? []), exchange.lane]);
    forwarded.set(recorder.step, recorder.forwardedIn(recorder.step) + 1);
  }

  /** On which stream the server sent this message; every message can be claimed once. */
  function claimLane(message) {
    return unclaimed.get(canonical(message))?.shift() ?? 'NEVER SENT BY THE SERVER';
  }

  async function stop() {
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  }
}
