// The processes: starts the reference server (a fresh one per run, on a free port), and sees to it that no child outlives us.

import { spawn } from 'node:child_process';
import net from 'node:net';
import { createRequire } from 'node:module';
import path from 'node:path';

const packageFolder = path.dirname(createRequire(import.meta.url).resolve('@modelcontextprotocol/server-everything/package.json'));
const entry = path.join(packageFolder, 'dist', 'index.js');

const mcpProxy = path.join(path.dirname(createRequire(import.meta.url).resolve('mcp-proxy/package.json')), 'dist', 'bin', 'mcp-proxy.mjs');

const running = new Set();

/** Has a child process killed when this one ends, if it is still there. */
export function own(child) {
  running.add(child);
  child.once('close', () => running.delete(child));
}

/** Kills whatever is still running, at once: for the exit handler, where nothing can be awaited. */
export function killAll() {
  for (const child of running) child.kill('SIGKILL');
}

/** Polls until `condition` holds (returns its value) or `milliseconds` have passed (throws). */
export async function until(what, condition, milliseconds = 10_000) {
  const deadline = performance.now() + milliseconds;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (performance.now() > deadline) throw new Error(`waited ${milliseconds} ms in vain for ${what}`);
    await pause(5);
  }
}

export const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Starts a server that accepts connections when this returns; on a given port, or a free one; by the transport named. */
export function startReferenceServer(wanted, transport = 'streamableHttp') {
  const isReady = (port, errors) => new RegExp(`(listening|running) on port ${port}`).test(errors);
  return start('the reference server', wanted, () => [entry, transport], isReady);
}

/** The same with mcp-proxy from npm, which has the reference server behind it on stdio, and sessions of its own. */
export function startMcpProxy(wanted) {
  const args = (port) => [mcpProxy, '--host', '127.0.0.1', '--port', String(port), '--', process.execPath, entry, 'stdio'];
  return start('mcp-proxy', wanted, args, () => true);
}

async function start(what, wanted, args, isReady) {
  for (let attempt = 1; ; attempt += 1) {
    const port = wanted ?? await freePort();
    // A small fixed environment: one of the tools returns it.
    const child = spawn(process.execPath, args(port), {
      env: { PATH: process.env.PATH ?? '', PORT: String(port) },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    own(child);
    let errors = '';
    child.stderr.on('data', (chunk) => { errors = (errors + chunk).slice(-4000); });
    let ended = false;
    const end = new Promise((resolve) => child.once('close', () => { ended = true; resolve(); }));
    const stop = async () => {
      if (!ended) child.kill('SIGKILL');
      await end;
    };
    try {
      // Both: someone else may have taken the port between the choice and the start.
      await until(`${what} to listen`, () => {
        if (ended) throw new Error(`${what} ended at once`);
        return isReady(port, errors) && accepts(port);
      }, 20_000);
      return { port, stop };
    } catch (error) {
      await stop();
      if (attempt === 3) throw new Error(`${error.message}\n${errors}`);
    }
  }
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = net.createServer();
    probe.once('error', reject);
    // No address: the reference server listens on every interface, so the port must be free on every one.
    probe.listen(0, () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

function accepts(port) {
  return new Promise((resolve) => {
    const socket = net.connect({ host: '127.0.0.1', port });
    socket.once('connect', () => { socket.destroy(); resolve(true); });
    socket.once('error', () => resolve(false));
  });
}
