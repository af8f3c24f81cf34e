// Systems without Rust, one with Node alone, one with Python alone and one with curl alone: the one line of each channel, and a tool list
// from the example edge behind its stand-in for Cloudflare Access. `debootstrap` makes the systems, once.
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { check, conversation, run, serve, succeeded, text } from './place.mjs';
import { registry } from './registry.mjs';

/** What a system has beside the smallest set of packages. */
const SYSTEMS = { node: [], python: ['python3', 'python3-venv'], curl: ['curl'] };

const PATH = '/usr/local/bin:/usr/bin:/bin';

/** Returns why no system can be made here; empty if one can. */
export function obstacle() {
  if (process.getuid?.() !== 0) return 'this user is not root';
  if (!existsSync('/usr/sbin/debootstrap')) return 'debootstrap is not there';
  try {
    execFileSync('unshare', ['--mount', '--pid', '--fork', 'true'], { stdio: 'ignore' });
  } catch {
    return 'unshare is not allowed';
  }
  return '';
}

/** Makes the systems, unless they are there or something is in the way. */
export function prepare({ tools, modules, tool }) {
  const roots = join(tools, 'roots');
  if (existsSync(roots)) return;
  if (obstacle()) return;
  const making = join(tools, 'roots-in-the-making');
  rmSync(making, { recursive: true, force: true });
  mkdirSync(making);
  const suite = /^VERSION_CODENAME="?(\w+)/m.exec(text('/etc/os-release'))?.[1];
  const quiet = { stdio: 'ignore' };
  try {
    const base = join(making, 'base');
    execFileSync('debootstrap', ['--variant=minbase', suite, base], quiet);
    for (const [name, packages] of Object.entries(SYSTEMS)) {
      const root = join(making, name);
      execFileSync('cp', ['-a', base, root]);
      if (packages.length === 0) continue;
      execFileSync('chroot', [root, 'apt-get', 'update'], quiet);
      execFileSync('chroot', [root, 'apt-get', 'install', '--yes', '--no-install-recommends', ...packages], quiet);
    }
    rmSync(base, { recursive: true });
    // As the archive from nodejs.org has it.
    const local = join(making, 'node/usr/local');
    cpSync(join(modules, `node-linux-${process.arch}/bin/node`), join(local, 'bin/node'));
    cpSync(join(modules, 'npm-12'), join(local, 'lib/node_modules/npm'), { recursive: true, dereference: true });
    symlinkSync('../lib/node_modules/npm/bin/npx-cli.js', join(local, 'bin/npx'));
    for (const name of ['uv', 'uvx']) cpSync(tool(name), join(making, 'python/usr/local/bin', name));
    renameSync(making, roots);
  } catch (error) {
    console.error(`no clean system is made: ${error.message.split('\n')[0]}`);
  }
}

/** Runs `body` in a system, with a home of its own there and what a command needs to run in it. */
async function inRoot({ tools }, name, absent, body) {
  const root = join(tools, 'roots', name);
  const home = mkdtempSync(join(root, 'home/user-'));
  const inside = home.slice(root.length);
  const { EDGE_URL, CF_ACCESS_CLIENT_ID, CF_ACCESS_CLIENT_SECRET } = process.env;
  check(EDGE_URL, 'EDGE_URL is not set: cargo test --test packages starts the edge');
  const env = { PATH, HOME: inside, CF_ACCESS_CLIENT_ID, CF_ACCESS_CLIENT_SECRET };
  const within = ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc', `--root=${root}`, `--wd=${inside}`];
  const system = {
    root,
    home,
    inside,
    run: (command, more = {}) => run('unshare', [...within, ...command], { env: { ...env, ...more } }),
    /** A tool list from the edge. */
    async lists(command, more = {}) {
      const { child, ended } = await conversation('unshare', [...within, ...command, EDGE_URL], { env: { ...env, ...more } });
      child.stdin.end();
      return succeeded(await ended, command.join(' '));
    },
  };
  try {
    for (const program of ['cargo', 'rustc', 'gcc', ...absent]) {
      const found = await system.run(['sh', '-c', `command -v ${program}`]);
      check(found.code !== 0, `the system has ${program}`);
    }
    await body(system);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

/** `npx -y mcp-tether URL`; then the copy that `npx -y mcp-tether install` makes, and the entry that it writes. */
export async function node(given) {
  const { packages } = given;
  const { url, close } = await registry(packages);
  try {
    await inRoot(given, 'node', ['python3', 'curl'], async (system) => {
      const npm = { npm_config_registry: `${url}/`, npm_config_update_notifier: 'false' };
      const npx = ['npx', '-y', 'mcp-tether'];
      const version = succeeded(await system.run([...npx, '--version'], npm), 'npx');
      check(version.stdout.startsWith(`mcp-tether ${packages.version}\nstarted by npx; `), version.stdout);
      await system.lists(npx, npm);

      succeeded(await system.run([...npx, 'install', '--yes'], npm), 'mcp-tether install');
      const program = `${system.inside}/.local/bin/mcp-tether`;
      await system.lists([program]);
      const add = ['add', 'my-server', process.env.EDGE_URL, '--client', 'claude-code', '--yes'];
      succeeded(await system.run([program, ...add]), 'mcp-tether add');
      const { command, args } = JSON.parse(text(join(system.home, '.claude.json'))).mcpServers['my-server'];
      check(command === program && args.length === 1, `the entry runs ${command} ${args}`);
    });
  } finally {
    close();
  }
}

/** `uvx mcp-tether URL`, and `pip install`, from a folder with the wheel. */
export async function python(given) {
  const { packages } = given;
  await inRoot(given, 'python', ['node', 'curl'], async (system) => {
    const wheels = join(packages.out, 'wheels');
    cpSync(wheels, join(system.home, 'wheels'), { recursive: true });
    const from = ['--no-index', '--find-links', `${system.inside}/wheels`];
    const uvx = ['uvx', '--offline', ...from, 'mcp-tether'];
    const version = succeeded(await system.run([...uvx, '--version']), 'uvx');
    check(version.stdout.startsWith(`mcp-tether ${packages.version}\nstarted by uvx; `), version.stdout);
    await system.lists(uvx);

    const environment = `${system.inside}/environment`;
    succeeded(await system.run(['python3', '-m', 'venv', environment]), 'venv');
    succeeded(await system.run([`${environment}/bin/pip`, 'install', ...from, 'mcp-tether']), 'pip install');
    await system.lists([`${environment}/bin/mcp-tether`]);
  });
}

/** `curl URL | sh`. */
export async function curl(given) {
  const { packages, target } = given;
  const archives = join(packages.out, 'archives');
  const files = new Map(readdirSync(archives).map((name) => [`/${name}`, readFileSync(join(archives, name))]));
  files.set('/install.sh', readFileSync(join(packages.out, 'install.sh')));
  const { url, close } = await serve((request, response) => {
    const content = files.get(request.url);
    response.writeHead(content ? 200 : 404).end(content);
  });
  try {
    await inRoot(given, 'curl', ['node', 'python3', 'wget'], async (system) => {
      writeFileSync(join(system.home, 'line.sh'), `curl --fail --silent --show-error --location ${url}/install.sh | sh\n`);
      const done = succeeded(await system.run(['sh', 'line.sh'], { MCP_TETHER_DOWNLOAD_URL: url }), 'install.sh');
      check(done.stdout.includes('is not on PATH') && files.has(`/mcp-tether-${packages.version}-${target}.tar.gz`), done.stdout);
      await system.lists([`${system.inside}/.local/bin/mcp-tether`]);
    });
  } finally {
    close();
  }
}
