// Linters for the workflows and the dependencies, all offline.
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { check, run, succeeded, text } from './place.mjs';

/** actionlint, zizmor and the schema find nothing in the workflows. */
export async function workflows({ root, modules, tool }) {
  const folder = join(root, '.github/workflows');
  const files = readdirSync(folder).map((file) => join(folder, file));
  check(files.length >= 2, 'the workflows are not there');
  succeeded(await run(tool('zizmor'), ['--offline', '--no-progress', '--color', 'never', folder]), 'zizmor');
  succeeded(await run(tool('check-jsonschema'), ['--builtin-schema', 'vendor.github-workflows', ...files]), 'check-jsonschema');
  const { createLinter } = createRequire(join(modules, 'actionlint/'))('actionlint');
  const lint = await createLinter();
  for (const file of files) {
    // It is older than these runners and this permission, which zizmor and the schema know.
    const isOld = ({ kind, message }) => kind === 'runner-label' || message.startsWith('unknown permission scope "attestations"');
    const found = lint(text(file), file).filter((finding) => !isOld(finding));
    check(found.length === 0, `actionlint: ${JSON.stringify(found, null, 1)}`);
    const unpinned = text(file).match(/uses: (?!\S+@[0-9a-f]{40} # v\d).*/g);
    check(unpinned === null, `not pinned to a commit: ${unpinned}`);
  }
}

/** ShellCheck finds nothing in install.sh, as it is and as it is released. */
export async function installScript({ packages, root, shellcheck }) {
  for (const script of [join(root, '.github/package/install.sh'), join(packages.out, 'install.sh')]) {
    succeeded(await run(shellcheck, ['--shell=sh', script]), 'shellcheck');
  }
}

/** The licences, duplicates and sources of the dependencies are those that .deny.toml allows. */
export async function dependencies({ root, tool }) {
  const args = ['--offline', '--locked', '--config', '.deny.toml', 'check', '--hide-inclusion-graph', 'bans', 'licenses', 'sources'];
  succeeded(await run(tool('cargo-deny'), args, { cwd: root, env: process.env }), 'cargo deny');
}
