// Package managers for Node install the packages from a registry on loopback, and the program runs.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { check, environment, exchange, inFolder, run, succeeded } from './place.mjs';
import { registry } from './registry.mjs';

/** The settings of npm for a home of its own. */
function npmEnvironment(home, url, node) {
  return environment(home, node, {
    npm_config_registry: `${url}/`,
    npm_config_cache: join(home, 'cache'),
    npm_config_prefix: join(home, 'global'),
    npm_config_userconfig: join(home, 'npmrc'),
    npm_config_update_notifier: 'false',
    npm_config_audit: 'false',
    npm_config_fund: 'false',
  });
}

/** Runs `body` with a registry and the environment of a new home. */
async function withRegistry(packages, node, body) {
  const { url, asked, close } = await registry(packages);
  try {
    await inFolder(async (home) => {
      writeFileSync(join(home, 'npmrc'), '');
      await body({ home, url, asked, env: npmEnvironment(home, url, node), cwd: home });
    });
    const foreign = asked.filter((path) => path.includes('not-packed'));
    check(foreign.length === 0, `packages of other platforms were downloaded: ${foreign}`);
  } finally {
    close();
  }
}

function isVersion(done, packages) {
  check(done.stdout.split('\n')[0].trim() === `mcp-tether ${packages.version}`, `it is not the version: ${done.stdout}\n${done.stderr}`);
}

/** `npx -y mcp-tether`, for the version and for a conversation. */
export async function npx({ packages, node, npm }) {
  await withRegistry(packages, node, async ({ env, cwd }) => {
    const command = [join(npm, 'bin/npx-cli.js'), '-y', 'mcp-tether'];
    isVersion(succeeded(await run(node, [...command, '--version'], { env, cwd }), 'npx'), packages);
    await exchange(node, command, { env, cwd });
  });
}

/** `npm install --global`, also without scripts. */
export async function globalInstall({ packages, node, npm }) {
  for (const options of [[], ['--ignore-scripts']]) {
    await withRegistry(packages, node, async ({ home, env, cwd }) => {
      const install = ['install', '--global', ...options, 'mcp-tether'];
      const done = succeeded(await run(node, [join(npm, 'bin/npm-cli.js'), ...install], { env, cwd }), 'npm install');
      check(!/warn|script/i.test(done.stdout + done.stderr), `npm warns: ${done.stdout}\n${done.stderr}`);
      const windows = process.platform === 'win32';
      const command = join(home, 'global', windows ? 'mcp-tether.cmd' : 'bin/mcp-tether');
      const shell = windows ? { shell: true } : {};
      isVersion(succeeded(await run(command, ['--version'], { env, cwd, ...shell }), command), packages);
      await exchange(command, [], { env, cwd, ...shell });
    });
  }
}

/** Without the optional dependencies there is no program, which is said in one line. A global install has them all the same. */
export async function withoutOptional({ packages, node, npm }) {
  await withRegistry(packages, node, async ({ home, env, cwd }) => {
    writeFileSync(join(home, 'package.json'), '{"name":"project","private":true}');
    const install = ['install', '--omit=optional', 'mcp-tether'];
    succeeded(await run(node, [join(npm, 'bin/npm-cli.js'), ...install], { env, cwd }), 'npm install');
    check(!existsSync(join(home, 'node_modules/@mcp-tether')), 'the program was installed');
    const done = await run(join(home, 'node_modules/.bin/mcp-tether'), ['--version'], { env, cwd });
    check(done.code === 1 && done.stdout === '', `it ended with ${done.code}: ${done.stdout}`);
    check(/^mcp-tether: no program for .* is installed .*--omit=optional.*\n$/.test(done.stderr), done.stderr);
  });
}

/** pnpm: `dlx`, and as a dependency. */
export async function pnpm({ packages, node, pnpm }) {
  await withRegistry(packages, node, async ({ home, env, cwd }) => {
    const options = { cwd, env: { ...env, PNPM_HOME: join(home, 'pnpm'), XDG_DATA_HOME: join(home, 'data'), XDG_CACHE_HOME: join(home, 'cache') } };
    isVersion(succeeded(await run(node, [pnpm, '--silent', 'dlx', 'mcp-tether', '--version'], options), 'pnpm dlx'), packages);
    await exchange(node, [pnpm, '--silent', 'dlx', 'mcp-tether'], options);
    const project = join(home, 'project');
    mkdirSync(project);
    writeFileSync(join(project, 'package.json'), '{"name":"project","private":true}');
    options.cwd = project;
    succeeded(await run(node, [pnpm, 'add', 'mcp-tether'], options), 'pnpm add');
    check(existsSync(join(project, 'node_modules/.bin/mcp-tether')), 'pnpm made no command');
    await exchange(join(project, 'node_modules/.bin/mcp-tether'), [], options);
  });
}

/** Bun: `bun x`, with Node and without. */
export async function bun({ packages, node, bun }) {
  await withRegistry(packages, node, async ({ home, env, cwd }) => {
    const options = { cwd, env: { ...env, BUN_INSTALL: join(home, 'bun'), BUN_INSTALL_CACHE_DIR: join(home, 'bun/cache'), TMPDIR: home } };
    for (const by of [[], ['--bun']]) {
      const command = ['x', ...by, '--silent', 'mcp-tether'];
      isVersion(succeeded(await run(bun, [...command, '--version'], options), 'bun x'), packages);
      await exchange(bun, command, options);
    }
  });
}
