// Installs the packages by npx, npm and, if it is installed, uv. The release workflow runs it on each system: node try.mjs PACKAGES
import { execFileSync } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { join, dirname, resolve } from 'node:path';
import { globalInstall, npx } from './npm.mjs';
import { uvx } from './python.mjs';
import { Packages } from './place.mjs';

const packages = new Packages(resolve(process.argv[2]));
const windows = process.platform === 'win32';

/** The program of a name, or nothing. */
function find(name) {
  try {
    return execFileSync(windows ? 'where' : 'which', [name], { encoding: 'utf8' }).split(/\r?\n/)[0];
  } catch {
    return undefined;
  }
}

// npm stands beside Node on Windows, and is a link into its folder elsewhere.
const npm = windows ? join(dirname(process.execPath), 'node_modules/npm') : resolve(dirname(realpathSync(find('npm'))), '..');
const given = { packages, node: process.execPath, npm, uv: find('uv'), python: windows ? find('python') : find('python3') };
await npx(given);
await globalInstall(given);
if (given.uv) await uvx(given);
console.log(`npx, npm install --global${given.uv ? ' and uvx' : ''} work with ${packages.platform.manifest.name}`);
