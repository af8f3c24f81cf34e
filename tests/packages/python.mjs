// pip and uv install the wheel from a folder, and the program runs.
import { join } from 'node:path';
import { readdirSync } from 'node:fs';
import { check, environment, exchange, inFolder, run, succeeded } from './place.mjs';

const binaries = process.platform === 'win32' ? 'Scripts' : 'bin';

/** `pip install`, into an environment of its own, with the metadata that PyPI wants. */
export async function pip({ packages, python }) {
  const wheels = join(packages.out, 'wheels');
  await inFolder(async (folder) => {
    const options = { env: environment(folder), cwd: folder };
    const files = readdirSync(wheels).map((file) => join(wheels, file));
    succeeded(await run(python, ['-m', 'twine', 'check', '--strict', ...files], options), 'twine check');
    const target = join(folder, 'environment');
    succeeded(await run(python, ['-m', 'venv', '--without-pip', target], options), 'venv');
    const install = ['--python', join(target, binaries, 'python'), 'install', '--no-index', '--find-links', wheels, 'mcp-tether'];
    succeeded(await run(python, ['-m', 'pip', ...install], options), 'pip install');
    const program = join(target, binaries, 'mcp-tether');
    const version = succeeded(await run(program, ['--version'], options), program).stdout.split('\n')[0].trim();
    check(version === `mcp-tether ${packages.version}`, `it is not the version: ${version}`);
    await exchange(program, [], options);
    const shown = await run(python, ['-m', 'pip', '--python', join(target, binaries, 'python'), 'show', '--files', 'mcp-tether'], options);
    for (const part of ['Version: ' + packages.version, 'sboms/mcp-tether.cdx.json', 'licenses/THIRD-PARTY-LICENSES.txt']) {
      check(shown.stdout.replaceAll('\\', '/').includes(part), `pip does not show ${part}: ${shown.stdout}`);
    }
  });
}

/** `uvx`, without any network. */
export async function uvx({ packages, python, uv }) {
  await inFolder(async (folder) => {
    const more = { UV_CACHE_DIR: join(folder, 'cache'), UV_TOOL_DIR: join(folder, 'tools'), UV_PYTHON_DOWNLOADS: 'never', UV_NO_CONFIG: '1' };
    const options = { env: environment(folder, process.execPath, more), cwd: folder };
    const command = ['tool', 'run', '--offline', '--no-index', '--find-links', join(packages.out, 'wheels'), '--python', python, 'mcp-tether'];
    const version = succeeded(await run(uv, [...command, '--version'], options), 'uvx').stdout.split('\n')[0].trim();
    check(version === `mcp-tether ${packages.version}`, `it is not the version: ${version}`);
    await exchange(uv, command, options);
  });
}
