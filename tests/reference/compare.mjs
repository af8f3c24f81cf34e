#!/usr/bin/env node
// Compares two ways to the reference server: the official client directly, and the official client through a command that
// is given the URL (mcp-tether). Prints what differs. The README beside this file says how to run it.

import process from 'node:process';
import { parseArgs } from 'node:util';
import { compareRuns, KNOWN_DIFFERENCES, NORMALISATIONS } from './differences.mjs';
import { run } from './run.mjs';
import { killAll } from './server.mjs';

const USAGE = `usage: node compare.mjs --command PATH [--only STEP]... [--verbose] [-- ARGUMENT...]
       node compare.mjs --baseline [--only STEP]... [--verbose]

  --command PATH   the command to compare with the direct connection; ARGUMENTs go to it, before the URL
  --baseline       compare the direct connection with itself: is this comparison deterministic?
  --only STEP      run this step only (and the handshake, tools/list and the end); repeatable
  --verbose        print each step, the known differences and the normalisations
exit code: 0 identical, 1 different, 2 could not compare`;

const TIME_LIMIT = 180_000;

process.on('exit', killAll);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(2));
setTimeout(() => { console.error(`gave up after ${TIME_LIMIT / 1000} s`); process.exit(2); }, TIME_LIMIT).unref();

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`could not compare: ${error.stack}`);
  process.exitCode = 2;
}
process.exit();

async function main() {
  const options = readOptions();
  if (!options) return 2;
  const log = (text, detail = false) => { if (options.verbose || !detail) console.log(text); };
  if (options.verbose) {
    for (const { header, method, drop, reason } of KNOWN_DIFFERENCES) log(`header ${header}${method ? ` of ${method}` : ''} ${drop ? 'is not compared' : 'is compared by meaning'}: ${reason}`);
    for (const { what, by } of NORMALISATIONS) log(`${what} -> ${by}`);
  }
  const command = options.command && { path: options.command, args: options.arguments };
  const direct = await run({ label: 'direct', only: options.only, log });
  const other = await run({ label: command ? options.command : 'direct again', command, only: options.only, log });

  for (const { label, notes } of [direct, other]) for (const note of notes) log(`note, ${label}: ${note}`);
  const failures = [direct, other].flatMap((each) => each.failures.map((sentence) => `!! ${each.label}: ${sentence}`));
  const blocks = compareRuns(direct, other);
  // The first differences explain the others: a call more or less shifts every id after it.
  const shown = options.verbose ? blocks : blocks.slice(0, 8);
  for (const text of [...failures, ...shown]) console.log(text);
  if (shown.length < blocks.length) console.log(`… and ${blocks.length - shown.length} more sections (--verbose shows them all)`);
  if (blocks.length || failures.length) {
    console.log(`${direct.steps.length} steps, ${blocks.length} sections differ, ${failures.length} failures`);
    return 1;
  }
  console.log(`${direct.steps.length} steps, identical`);
  return 0;
}

function readOptions() {
  let parsed;
  try {
    parsed = parseArgs({
      allowPositionals: true,
      options: {
        command: { type: 'string' }, baseline: { type: 'boolean' }, only: { type: 'string', multiple: true },
        verbose: { type: 'boolean', default: false }, help: { type: 'boolean' },
      },
    });
  } catch (error) {
    console.error(`${error.message}\n${USAGE}`);
    return undefined;
  }
  const { command, baseline, only, verbose, help } = parsed.values;
  if (help || Boolean(command) === Boolean(baseline) || (baseline && parsed.positionals.length)) {
    console.error(USAGE);
    return undefined;
  }
  return { command, only, verbose, arguments: parsed.positionals };
}
