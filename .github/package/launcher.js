#!/usr/bin/env node
// Starts the program of the package that was installed for this platform. Node replaces itself with it where it can (22.15 and later,
// not on Windows): the process id stays, and no memory is held. Otherwise it starts the program and passes signals and the exit code on.
'use strict';

const { accessSync, constants } = require('node:fs');

const { platform, arch } = process;
const args = process.argv.slice(2);

/** Paths of glibc's loader. A system without it starts no program that is linked to glibc. */
const LOADERS = { x64: '/lib64/ld-linux-x86-64.so.2', arm64: '/lib/ld-linux-aarch64.so.1' };

function isAccessible(path, mode) {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}

/** The packages whose program starts here, the best one first. */
function packages() {
  const name = `@mcp-tether/${platform}-${arch}`;
  if (platform !== 'linux') return [name];
  // glibc first: it resolves names as the rest of the system does.
  return isAccessible(LOADERS[arch], constants.X_OK) ? [name, `${name}-musl`] : [`${name}-musl`];
}

/** The first program that is installed and may be started. */
function findProgram() {
  const file = platform === 'win32' ? 'mcp-tether.exe' : 'mcp-tether';
  for (const name of packages()) {
    try {
      const path = require.resolve(`${name}/${file}`);
      // Node aborts when it cannot start the program in its place, so this is asked before.
      if (isAccessible(path, constants.X_OK)) return path;
    } catch {
      // Not installed.
    }
  }
  console.error(
    `mcp-tether: no program for ${platform}-${arch} is installed (${packages().join(' or ')}). ` +
      'Install mcp-tether again with its optional dependencies: without --omit=optional, and on this computer.',
  );
  process.exit(1);
}

/** Becomes the program. Returns only where that is not possible. */
function become(program) {
  if (platform === 'win32' || typeof process.execve !== 'function') return;
  // Node ignores SIGXFSZ, and a program inherits that; a signal with a handler is reset.
  process.on('SIGXFSZ', () => {});
  try {
    process.execve(program, [program, ...args]);
  } catch {
    // Not possible on this system.
  }
}

function start(program) {
  const { spawn } = require('node:child_process');
  const { constants: { signals } } = require('node:os');
  const child = spawn(program, args, { stdio: 'inherit', windowsHide: true });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    console.error(`mcp-tether: ${program} cannot be started: ${error.message}`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code);
    // Ends by the same signal, which the parent process then sees. The exit code counts where the signal is ignored.
    process.exitCode = 128 + signals[signal];
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}

const program = findProgram();
become(program);
start(program);
