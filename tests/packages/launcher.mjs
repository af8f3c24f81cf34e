// The launcher by itself: how it becomes or starts the program, what passes through it, and which program it chooses.
import { chmodSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { check, conversation, environment, inFolder, mcpServer, processesOf, run } from './place.mjs';

const ENDS = ['EOF', 'SIGINT', 'SIGTERM', 'SIGHUP'];

/** Ends a process that is in a conversation; returns its exit code and signal. */
async function end(running, how) {
  if (how === 'EOF') running.child.stdin.end();
  else running.child.kill(how);
  const { code, signal } = await running.ended;
  return JSON.stringify({ code, signal });
}

/** Every end is that of the program alone, and leaves no process. `becomes`: whether Node is replaced. */
async function ends({ packages, node, becomes }) {
  const server = await mcpServer();
  try {
    await inFolder(async (folder) => {
      const { launcher, program } = packages.unpack(folder);
      const options = { env: environment(folder, node), cwd: folder };
      const url = `${server.url}/mcp`;
      for (const how of ENDS) {
        const expected = await end(await conversation(program, [url], options), how);
        const running = await conversation(node, [launcher, url], options);
        const processes = processesOf(program);
        check(processes.length === 1, `${processes.length} processes run the program`);
        check((processes[0] === running.child.pid) === becomes, `Node was ${becomes ? 'not ' : ''}replaced`);
        const found = await end(running, how);
        check(found === expected, `${how}: the program ends with ${expected}, the launcher with ${found}`);
        check(processesOf(program).length === 0, `${how}: the program is left`);
      }
      const refused = await run(node, [launcher, '--no-such-option'], options);
      const alone = await run(program, ['--no-such-option'], options);
      check(refused.code === alone.code && refused.code !== 0, `the exit code is ${refused.code} and not ${alone.code}`);
      check(refused.stderr === alone.stderr, `stderr is another one: ${refused.stderr}`);
    });
  } finally {
    server.close();
  }
}

export const becomesProgram = (given) => ends({ ...given, becomes: true });
export const startsProgram = (given) => ends({ ...given, becomes: false });

/** The program inherits what it would without the launcher, but that SIGPIPE is ignored: no signal that Node ignores, no descriptor of Node. */
export async function inheritance({ packages, node }) {
  await inFolder(async (folder) => {
    const { launcher, program } = packages.unpack(folder);
    writeFileSync(program, '#!/bin/sh\ngrep -E "^Sig(Blk|Ign)" /proc/self/status\nls /proc/$$/fd\n');
    const env = environment(folder, node);
    const look = async (command, args) => {
      const { stdout } = await run(command, args, { env });
      const mask = (name) => BigInt(`0x${new RegExp(`${name}:\\s*(\\w+)`).exec(stdout)?.[1]}`);
      return { blocked: mask('SigBlk'), ignored: mask('SigIgn'), open: stdout.match(/^\d+$/gm)?.join() };
    };
    const [alone, launched] = [await look(program, []), await look(node, [launcher])];
    const SIGPIPE = 1n << 12n;
    check(launched.blocked === alone.blocked, `signals ${launched.blocked.toString(16)} are blocked`);
    check((launched.ignored & ~SIGPIPE) === (alone.ignored & ~SIGPIPE), `signals ${launched.ignored.toString(16)} are ignored`);
    check(alone.open?.startsWith('0,1,'), `descriptors are unknown: ${alone.open}`);
    check(launched.open === alone.open, `open are ${launched.open} and not ${alone.open}`);
  });
}

/** The launcher chooses among the Linux packages by installation, permission to execute, and the presence of glibc. */
export async function choice({ packages, node }) {
  const name = packages.platform.manifest.name.replace(/-musl$/, '');
  const rows = [
    { installed: ['glibc'], chosen: 'glibc' },
    { installed: ['musl'], chosen: 'musl' },
    { installed: ['glibc', 'musl'], chosen: 'glibc' },
    { installed: ['glibc', 'musl'], locked: 'glibc', chosen: 'musl' },
    { installed: ['glibc'], locked: 'glibc', chosen: null },
    { installed: ['glibc', 'musl'], without: true, chosen: 'musl' },
    { installed: ['glibc'], without: true, chosen: null },
    { installed: [], chosen: null },
  ];
  await inFolder(async (folder) => {
    const { launcher } = packages.unpack(folder);
    const hide = join(folder, 'no-glibc.cjs');
    writeFileSync(
      hide,
      `const fs = require('node:fs');
      const accessSync = fs.accessSync;
      fs.accessSync = (path, mode) => {
        if (/^\\/lib(64)?\\/ld-linux/.test(path)) throw new Error('not there');
        return accessSync(path, mode);
      };`,
    );
    for (const { installed, locked, without, chosen } of rows) {
      const scope = join(folder, 'node_modules/@mcp-tether');
      for (const entry of readdirSync(scope)) rmSync(join(scope, entry), { recursive: true });
      for (const libc of installed) {
        const target = join(folder, 'node_modules', libc === 'musl' ? `${name}-musl` : name);
        mkdirSync(target);
        writeFileSync(join(target, 'package.json'), '{}');
        writeFileSync(join(target, 'mcp-tether'), `#!/bin/sh\necho ${libc} "$@"\n`);
        chmodSync(join(target, 'mcp-tether'), locked === libc ? 0o644 : 0o755);
      }
      const args = [...(without ? ['--require', hide] : []), launcher, 'a b', '$c'];
      const done = await run(node, args, { env: environment(folder, node) });
      const row = JSON.stringify({ installed, locked, without });
      if (chosen) check(done.stdout === `${chosen} a b $c\n` && done.code === 0, `${row}: ${done.stdout}${done.stderr}`);
      else check(done.code === 1 && /no program for/.test(done.stderr), `${row}: ${done.stdout}${done.stderr}`);
    }
  });
}
