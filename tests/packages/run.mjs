// The packages that pack.py makes, tried: node run.mjs --program PATH --tools FOLDER [NAME…], as tests/packages/README.md says.
// --list prints the names, each with the reason why it cannot run here, if there is one.
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import * as launcher from './launcher.mjs';
import * as linters from './linters.mjs';
import * as npm from './npm.mjs';
import { Packages } from './place.mjs';
import * as python from './python.mjs';
import * as release from './release.mjs';
import * as roots from './roots.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    program: { type: 'string' },
    tools: { type: 'string' },
    list: { type: 'boolean', default: false },
    pack: { type: 'boolean', default: false },
  },
});

const root = resolve(import.meta.dirname ?? new URL('.', import.meta.url).pathname, '../..');
const tools = resolve(values.tools ?? '.');
const modules = join(tools, 'node_modules');
const tool = (name) => join(tools, 'python/bin', name);
const target = `${{ x64: 'x86_64', arm64: 'aarch64' }[process.arch]}-unknown-linux-gnu`;
const binaries = join(tools, 'binaries');
const out = join(tools, 'packages');

/** The Node that runs this, and one that can be replaced by a program; npm 12 wants the latter. */
const NODE = { name: 'Node', path: process.execPath };
const OWN = join(modules, `node-linux-${process.arch}/bin/node`);
const EXECVE = { name: 'Node 22.15 or later', path: [OWN, process.execPath].find(canBecome) };
const SPAWN = { name: 'a Node without execve', path: canBecome(process.execPath) ? undefined : process.execPath };
const NPM_11 = { name: 'npm 11', path: join(modules, 'npm-11') };
const NPM_12 = { name: 'npm 12', path: join(modules, 'npm-12') };
const PNPM = { name: 'pnpm', path: join(modules, 'pnpm/bin/pnpm.cjs') };
const BUN = { name: 'bun', path: join(modules, `@oven/bun-linux-${{ x64: 'x64', arm64: 'aarch64' }[process.arch]}/bin/bun`) };

/** A system without Rust, which has this alone. */
const rootWith = (name) => ({ system: { why: `no clean system can be made: ${roots.obstacle() || 'debootstrap failed'}`, path: join(tools, 'roots', name) } });

function canBecome(node) {
  if (!existsSync(node)) return false;
  return execFileSync(node, ['-p', 'typeof process.execve'], { encoding: 'utf8' }).trim() === 'function';
}

const TESTS = [
  { name: 'packing_twice_gives_equal_files', run: release.packTwice },
  { name: 'packing_all_targets_makes_every_package', run: release.packAll },
  { name: 'packing_refuses_other_tags_and_missing_programs', run: release.packRefusals },
  { name: 'archive_holds_program_licenses_and_bill_of_materials', run: release.archive },
  { name: 'mcpb_accepts_the_bundle_and_its_program_answers', run: release.bundle },
  { name: 'server_json_keeps_the_rules_of_its_schema', run: release.serverJson },
  { name: 'install_script_installs_and_refuses_wrong_checksums', run: release.installScript },
  { name: 'npx_runs_program_with_npm_11', run: npm.npx, needs: { node: NODE, npm: NPM_11 } },
  { name: 'npx_runs_program_with_npm_12', run: npm.npx, needs: { node: EXECVE, npm: NPM_12 } },
  { name: 'global_install_works_with_npm_11', run: npm.globalInstall, needs: { node: NODE, npm: NPM_11 } },
  { name: 'global_install_works_with_npm_12', run: npm.globalInstall, needs: { node: EXECVE, npm: NPM_12 } },
  { name: 'missing_optional_dependency_is_reported_in_one_line', run: npm.withoutOptional, needs: { node: NODE, npm: NPM_11 } },
  { name: 'pnpm_runs_program', run: npm.pnpm, needs: { node: NODE, pnpm: PNPM } },
  { name: 'bun_runs_program', run: npm.bun, needs: { node: NODE, bun: BUN } },
  { name: 'launcher_becomes_program_and_ends_as_it_does', run: launcher.becomesProgram, needs: { node: EXECVE } },
  { name: 'launcher_starts_program_and_ends_as_it_does', run: launcher.startsProgram, needs: { node: SPAWN } },
  { name: 'launcher_passes_on_no_signal_mask_and_no_descriptor', run: launcher.inheritance, needs: { node: EXECVE } },
  { name: 'launcher_chooses_glibc_first_and_falls_back_to_musl', run: launcher.choice, needs: { node: NODE } },
  { name: 'pip_installs_program', run: python.pip },
  { name: 'uvx_runs_program_offline', run: python.uvx, needs: { uv: { name: 'uv', path: tool('uv') } } },
  { name: 'clean_root_with_node_answers_through_npx', run: roots.node, needs: rootWith('node') },
  { name: 'clean_root_with_python_answers_through_uvx_and_pip', run: roots.python, needs: rootWith('python') },
  { name: 'clean_root_with_curl_answers_after_install_script', run: roots.curl, needs: rootWith('curl') },
  { name: 'linters_accept_the_workflows', run: linters.workflows },
  { name: 'linter_accepts_install_script', run: linters.installScript, needs: { shellcheck: { name: 'ShellCheck', path: tool('shellcheck') } } },
  { name: 'cargo_deny_accepts_the_dependencies', run: linters.dependencies },
];

/** The tools of a test that are missing, as one sentence; empty if it can run. */
function missing({ needs = {} }) {
  const absent = Object.values(needs).filter(({ path }) => !path || !existsSync(path));
  return absent.map(({ name, why }) => why ?? `${name} is not there`).join(', ');
}

if (values.list) {
  for (const test of TESTS) console.log(`${test.name}\t${missing(test)}`);
} else {
  if (values.pack) {
    mkdirSync(join(binaries, target), { recursive: true });
    copyFileSync(values.program, join(binaries, target, 'mcp-tether'));
    rmSync(out, { recursive: true, force: true });
    roots.prepare({ tools, modules, tool });
    execFileSync(tool('python'), [join(root, '.github/package/pack.py'), binaries, out, '--only', target], { stdio: ['ignore', 'ignore', 'inherit'] });
  }
  const unknown = positionals.filter((name) => !TESTS.some((test) => test.name === name));
  if (unknown.length > 0) throw new Error(`no test is named ${unknown}`);
  const given = { root, tools, modules, tool, binaries, target, python: tool('python') };
  let failed = 0;
  const isChosen = ({ name }) => (positionals.length === 0 ? !values.pack : positionals.includes(name));
  for (const test of TESTS.filter(isChosen)) {
    const reason = missing(test);
    if (reason) {
      console.log(`${test.name} does not run: ${reason}`);
      continue;
    }
    const needs = Object.fromEntries(Object.entries(test.needs ?? {}).map(([key, { path }]) => [key, path]));
    const begun = performance.now();
    try {
      await test.run({ packages: new Packages(out), ...given, ...needs });
      console.log(`${test.name}: ok, ${((performance.now() - begun) / 1000).toFixed(1)} s`);
    } catch (error) {
      failed += 1;
      console.log(`${test.name}: ${error.stack}`);
    }
  }
  process.exitCode = failed === 0 ? 0 : 1;
}
