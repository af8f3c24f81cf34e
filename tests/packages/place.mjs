// Shared by the tests of the packages: temporary folders, processes, an MCP server and the conversation with it.
import { execFileSync, spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';

/** No process takes this long unless it hangs. */
const TIMEOUT = 90_000;

/** Fails with a message unless the condition holds. */
export function check(condition, message) {
  if (!condition) throw new Error(message);
}

/** Fails unless the process ended with 0. */
export function succeeded(done, what) {
  check(done.code === 0, `${what} ended with ${done.code ?? done.signal}:\n${done.stdout}\n${done.stderr}`);
  return done;
}

/** Runs `body` with a new folder, and removes it. */
export async function inFolder(body) {
  const folder = mkdtempSync(join(tmpdir(), 'mcp-tether-packages-'));
  try {
    return await body(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** An environment that knows nothing of the user's own settings: `home` is the home, `node` the Node that programs find. */
export function environment(home, node = process.execPath, more = {}) {
  const system = process.platform === 'win32' ? process.env.PATH : '/usr/local/bin:/usr/bin:/bin';
  const kept = Object.fromEntries(['SystemRoot', 'ComSpec', 'PATHEXT', 'TEMP', 'TMP'].flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));
  return { ...kept, PATH: dirname(node) + delimiter + system, HOME: home, USERPROFILE: home, LOCALAPPDATA: home, APPDATA: home, ...more };
}

/** Runs a process to its end. */
export function run(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { ...options, stdio: 'pipe' });
    const output = collect(child);
    const timer = setTimeout(() => child.kill('SIGKILL'), TIMEOUT);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, ...output });
    });
    child.stdin.on('error', () => {});
    child.stdin.end(options.input ?? '');
  });
}

function collect(child) {
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text) => (output.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (output.stderr += text));
  return output;
}

/** An HTTP server on loopback. */
export function serve(handler) {
  return new Promise((resolve) => {
    const server = createServer(handler);
    server.listen(0, '127.0.0.1', () => {
      const close = () => {
        server.closeAllConnections();
        server.close();
      };
      resolve({ url: `http://127.0.0.1:${server.address().port}`, close });
    });
  });
}

/** The smallest MCP server over streamable HTTP: one tool. */
export function mcpServer() {
  return serve((request, response) => {
    let body = '';
    request.on('data', (chunk) => (body += chunk));
    request.on('end', () => {
      if (request.method !== 'POST') return response.writeHead(405).end();
      const { id, method, params } = JSON.parse(body);
      if (id === undefined) return response.writeHead(202).end();
      const results = {
        initialize: () => ({ protocolVersion: params.protocolVersion, capabilities: { tools: {} }, serverInfo: { name: 'loopback', version: '1' } }),
        'tools/list': () => ({ tools: [{ name: 'echo', inputSchema: { type: 'object' } }] }),
      };
      const result = results[method];
      const answer = result ? { result: result() } : { error: { code: -32601, message: 'Method not found' } };
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ jsonrpc: '2.0', id, ...answer }));
    });
  });
}

const HELLO = [
  { id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'packages', version: '1' } } },
  { method: 'notifications/initialized' },
  { id: 2, method: 'tools/list' },
]
  .map((message) => JSON.stringify({ jsonrpc: '2.0', ...message }) + '\n')
  .join('');

/** A process that has answered `initialize` and `tools/list`, which were written before it can have started. */
export function conversation(command, args, options) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { ...options, stdio: 'pipe' });
    const output = collect(child);
    let isAnswered = false;
    const fail = (why) => reject(new Error(`${command} ${args.join(' ')}: ${why}\n${output.stdout}\n${output.stderr}`));
    const timer = setTimeout(() => child.kill('SIGKILL'), TIMEOUT);
    const ended = new Promise((end) => {
      child.on('close', (code, signal) => {
        clearTimeout(timer);
        end({ code, signal, ...output });
        if (!isAnswered) fail(`ended with ${code ?? signal} before it answered`);
      });
    });
    child.on('error', (error) => fail(error.message));
    child.stdin.on('error', () => {});
    child.stdin.write(HELLO);
    child.stdout.on('data', () => {
      const lines = output.stdout.split('\n').slice(0, -1);
      if (isAnswered || lines.length < 2) return;
      isAnswered = true;
      const answers = lines.map((line) => JSON.parse(line));
      const tools = answers.find((answer) => answer.id === 2)?.result?.tools;
      if (!tools?.some(({ name }) => name === 'echo')) fail('the answers are wrong');
      else resolve({ child, ended });
    });
  });
}

/** A whole conversation through a command that is given the URL of an MCP server, up to the end of input. */
export async function exchange(command, args, options) {
  const server = await mcpServer();
  try {
    const { child, ended } = await conversation(command, [...args, `${server.url}/mcp`], options);
    child.stdin.end();
    return succeeded(await ended, `${command} ${args.join(' ')}`);
  } finally {
    server.close();
  }
}

/** The ids of the processes that run a program. Linux only. */
export function processesOf(program) {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((id) => {
      try {
        return readlinkSync(`/proc/${id}/exe`) === program;
      } catch {
        return false;
      }
    })
    .map(Number);
}

/** Unpacks a tar archive. */
export function untar(archive, folder, ...more) {
  execFileSync('tar', ['-xzf', archive, '-C', folder, ...more]);
}

/** The packages that pack.py wrote: their version, and where each is. */
export class Packages {
  constructor(out) {
    this.out = out;
    this.npm = readdirSync(join(out, 'npm')).map((file) => {
      const path = join(out, 'npm', file);
      const manifest = JSON.parse(execFileSync('tar', ['-xzOf', path, 'package/package.json'], { encoding: 'utf8' }));
      return { path, manifest };
    });
    this.main = this.npm.find(({ manifest }) => manifest.bin);
    this.version = this.main.manifest.version;
    const [system, processor] = [process.platform, process.arch];
    this.platform = this.npm.find(({ manifest: { os, cpu, libc } }) => os?.[0] === system && cpu[0] === processor && libc?.[0] !== (isGlibc() ? 'musl' : 'glibc'));
    check(this.platform, `${out} has no package for ${system}-${processor}`);
  }

  /** Unpacks the main package and that of this platform as npm would; returns the launcher and the program. */
  unpack(folder) {
    for (const { path, manifest } of [this.main, this.platform]) {
      const target = join(folder, 'node_modules', manifest.name);
      execFileSync('mkdir', ['-p', target]);
      untar(path, target, '--strip-components=1');
    }
    const launcher = join(folder, 'node_modules/mcp-tether/bin/launcher.js');
    return { launcher, program: join(folder, 'node_modules', this.platform.manifest.name, 'mcp-tether') };
  }
}

/** Returns whether Linux programs are linked to glibc here. */
function isGlibc() {
  return ['/lib64/ld-linux-x86-64.so.2', '/lib/ld-linux-aarch64.so.1'].some(existsSync);
}

/** A file's text. */
export const text = (path) => readFileSync(path, 'utf8');
