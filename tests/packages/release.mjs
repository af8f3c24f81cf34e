// pack.py itself, and the files of a GitHub release: archives, the bundle for MCP clients, server.json, install.sh, checksums.
import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { check, environment, exchange, inFolder, mcpServer, conversation, run, serve, succeeded, text, untar, Packages } from './place.mjs';

const sha256 = (path) => createHash('sha256').update(readFileSync(path)).digest('hex');

/** All files below a folder. */
function filesOf(folder) {
  return readdirSync(folder, { recursive: true })
    .map(String)
    .filter((name) => statSync(join(folder, name)).isFile())
    .sort();
}

/** pack.py a second time. */
export async function packTwice({ packages, root, binaries, target, python }) {
  await inFolder(async (folder) => {
    const again = join(folder, 'again');
    const pack = [join(root, '.github/package/pack.py'), binaries, again, '--only', target];
    succeeded(await run(python, pack, { env: { ...process.env, TZ: 'Asia/Tokyo', LC_ALL: 'C' }, cwd: folder }), 'pack.py');
    const [first, second] = [filesOf(packages.out), filesOf(again)];
    check(first.length >= 8 && first.join() === second.join(), `other files: ${first}\n${second}`);
    for (const name of first) {
      check(sha256(join(packages.out, name)) === sha256(join(again, name)), `${name} is another one`);
    }
  });
}

/** All targets, with programs that are none: each gets its packages, and the macOS ones become one. */
export async function packAll({ packages, root, python }) {
  const pack = join(root, '.github/package/pack.py');
  const done = succeeded(await run(python, [pack, '--matrix'], { env: process.env }), 'pack.py');
  const targets = JSON.parse(done.stdout);
  await inFolder(async (folder) => {
    const processors = { x86_64: 0x01000007, aarch64: 0x0100000c };
    const programs = Object.fromEntries(
      targets.map(({ target }) => {
        // The header of a Mach-O file: magic, processor, its kind.
        const header = Buffer.alloc(12);
        [0xfeedfacf, processors[target.split('-')[0]], 3].forEach((word, at) => header.writeUInt32LE(word, at * 4));
        return [target, Buffer.concat([header, Buffer.from(target.repeat(1000))])];
      }),
    );
    for (const { target, executable } of targets) {
      mkdirSync(join(folder, 'binaries', target), { recursive: true });
      writeFileSync(join(folder, 'binaries', target, executable), programs[target]);
    }
    const out = join(folder, 'out');
    succeeded(await run(python, [pack, join(folder, 'binaries'), out], { env: process.env }), 'pack.py');
    const { version } = packages;
    const all = new Packages(out);
    for (const { target, npm, wheel } of targets) {
      const [os, cpu, libc = os === 'linux' ? 'glibc' : undefined] = npm.split('-');
      const manifest = all.npm.find(({ manifest }) => manifest.name === `@mcp-tether/${npm}`)?.manifest;
      check(manifest?.os.join() === os && manifest.cpu.join() === cpu && manifest.libc?.join() === libc, `${npm}: ${JSON.stringify(manifest)}`);
      check(manifest.version === version && !manifest.scripts && !manifest.dependencies, JSON.stringify(manifest));
      const archive = `mcp-tether-${version}-${target}.${os === 'win32' ? 'zip' : 'tar.gz'}`;
      for (const file of [`wheels/mcp_tether-${version}-py3-none-${wheel}.whl`, `archives/${archive}`]) check(existsSync(join(out, file)), `${file} is missing`);
      const sums = text(join(out, os === 'win32' ? 'SHA256SUMS' : 'install.sh'));
      check(sums.includes(`${sha256(join(out, 'archives', archive))}  ${archive}`), `${archive} has no checksum`);
    }
    check(!all.main.manifest.scripts && !/@[A-Z]+@/.test(text(join(out, 'install.sh'))), 'scripts, or an install.sh that is not filled in');

    const linux = join(folder, 'binaries/aarch64-unknown-linux-gnu/mcp-tether');
    writeFileSync(linux, '\0GLIBC_2.9\0GLIBC_2.18\0GLIBC_2.2.5\0');
    const refused = await run(python, [pack, join(folder, 'binaries'), join(folder, 'newer')], { env: process.env });
    check(refused.code === 1 && refused.stderr.includes('wants glibc 2.18, and the table promises 2.17'), refused.stderr);

    // A path of the computer that built the program, of this one and of others.
    const homes = [join(homedir(), 'x.rs'), join(root, 'src/main.rs'), '/home/ci/.cargo/registry/src/index-1/a-1.0.0/x.rs', 'C:\\Users\\ci\\.cargo\\registry\\src\\index-1\\a.rs'];
    for (const [number, path] of homes.entries()) {
      writeFileSync(linux, `\0${path}\0`);
      const held = await run(python, [pack, join(folder, 'binaries'), join(folder, `held-${number}`)], { env: process.env });
      check(held.code === 1 && held.stderr.includes(`holds a path of the computer that built it: ${path}`), `${path}: ${held.stderr}`);
      check(held.stderr.includes('pack.py --flags') && !existsSync(join(folder, `held-${number}`)), held.stderr);
    }
    writeFileSync(linux, '\0/crates/a-1.0.0/x.rs\0/rustc/0/library/core/src/x.rs\0');
    succeeded(await run(python, [pack, join(folder, 'binaries'), join(folder, 'clean')], { env: process.env }), 'pack.py');

    const unpack = "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])";
    const bundle = join(folder, 'bundle');
    succeeded(await run(python, ['-c', unpack, join(out, `mcp-tether-${version}.mcpb`), bundle]), 'unzip');
    const held = (name) => readFileSync(join(bundle, 'server', name));
    check(held('mcp-tether').equals(programs['x86_64-unknown-linux-musl']), 'the bundle has another Linux program');
    check(held('mcp-tether.exe').equals(programs['x86_64-pc-windows-msvc']), 'the bundle has another Windows program');
    const universal = held('mcp-tether-macos');
    check(universal.readUInt32BE(0) === 0xcafebabe && universal.readUInt32BE(4) === 2, 'it is not a universal program');
    ['x86_64', 'aarch64'].forEach((processor, index) => {
      const [kind, , offset, size, alignment] = [0, 4, 8, 12, 16].map((at) => universal.readUInt32BE(8 + index * 20 + at));
      check(kind === processors[processor] && offset % 2 ** alignment === 0, `${processor}: ${kind} at ${offset}`);
      check(universal.subarray(offset, offset + size).equals(programs[`${processor}-apple-darwin`]), `${processor} is another one`);
    });
    for (const [name, processor] of [['amd64', 'x86_64'], ['arm64', 'aarch64']]) {
      const program = readFileSync(join(out, 'image', name, 'mcp-tether'));
      check(program.equals(programs[`${processor}-unknown-linux-musl`]), `the image for ${name} has another program`);
    }
  });
}

/** pack.py refuses a tag that is not the version, a program that is not there, and a target that it does not know. */
export async function packRefusals({ packages, root, python }) {
  const pack = join(root, '.github/package/pack.py');
  await inFolder(async (folder) => {
    const rows = [
      [['--tag', `v${packages.version}`], 0, /^$/],
      [['--tag', 'v99.0.0'], 1, /the tag v99\.0\.0 is not v/],
      [[folder, join(folder, 'out')], 1, /mcp-tether is not there/],
      [[folder, join(folder, 'out'), '--only', 'pdp11'], 1, /pdp11 is not in the table/],
    ];
    for (const [args, code, expected] of rows) {
      const done = await run(python, [pack, ...args], { env: process.env });
      check(done.code === code && expected.test(done.stderr.trim()), `${args}: ${done.code}\n${done.stderr}`);
    }
    const matrix = JSON.parse(succeeded(await run(python, [pack, '--matrix'], { env: process.env }), 'pack.py').stdout);
    const names = matrix.map(({ npm }) => `@mcp-tether/${npm}`).sort();
    const wanted = Object.keys(packages.main.manifest.optionalDependencies).sort();
    check(names.join() === wanted.join() && names.length === 8, `other targets: ${names}\n${wanted}`);
  });
}

/** The archive holds the program and its papers, as `cargo binstall` expects them, and the checksums are right. */
export async function archive({ packages, root, target }) {
  const stem = `mcp-tether-${packages.version}-${target}`;
  await inFolder(async (folder) => {
    untar(join(packages.out, `archives/${stem}.tar.gz`), folder);
    const found = filesOf(join(folder, stem));
    for (const name of ['LICENSE', 'README.md', 'THIRD-PARTY-LICENSES.txt', 'completions/_mcp-tether', 'mcp-tether']) {
      check(found.includes(name), `${name} is not in the archive: ${found}`);
    }
    await exchange(join(folder, stem, 'mcp-tether'), [], { env: environment(folder) });
    const readme = text(join(folder, stem, 'README.md'));
    const relative = [...readme.matchAll(/\]\((?!\w+:|#)([^)]*)\)/g)].map((match) => match[1]);
    check(relative.length === 0, `links that lead nowhere outside the repository: ${relative}`);

    const licenses = text(join(folder, stem, 'THIRD-PARTY-LICENSES.txt'));
    const bill = JSON.parse(text(join(packages.out, `archives/${stem}.cdx.json`)));
    const metadata = JSON.parse(execFileSync('cargo', ['metadata', '--locked', '--no-deps', '--format-version', '1'], { cwd: root, encoding: 'utf8' }));
    const all = metadata.packages[0].dependencies.filter(({ kind, target }) => kind === null && target === null);
    // A feature that a release leaves out brings nothing along.
    const direct = all.filter(({ optional }) => !optional);
    for (const { name } of direct) {
      const component = bill.components.find((component) => component.name === name);
      check(component?.licenses[0].expression && component.hashes, `${name} is not in the bill of materials`);
      check(licenses.includes(`${name} ${component.version}: `), `${name} has no licence`);
    }
    check(direct.length > 20 && bill.components.length > 100, `the bill has ${bill.components.length} parts`);
    const names = new Set(bill.components.map((component) => component.name));
    const leftOut = all.filter(({ optional }) => optional).map(({ name }) => name);
    for (const name of ['axum', 'rmcp', 'proptest', 'windows-sys', ...leftOut]) check(!names.has(name), `${name} is in the bill`);
    check(/Mozilla Public License/.test(licenses) && /Permission is hereby granted/.test(licenses), 'texts are missing');

    const { 'pkg-url': url, 'bin-dir': program } = metadata.packages[0].metadata.binstall;
    const filled = (template) =>
      Object.entries({ repo: '', version: packages.version, name: 'mcp-tether', target, bin: 'mcp-tether', 'archive-suffix': '.tar.gz', 'binary-ext': '' }).reduce(
        (text, [key, value]) => text.replaceAll(`{ ${key} }`, value),
        template,
      );
    check(existsSync(join(packages.out, 'archives', filled(url).split('/').at(-1))), `binstall finds no ${filled(url)}`);
    check(existsSync(join(folder, filled(program))), `binstall finds no ${filled(program)}`);
  });
  const sums = text(join(packages.out, 'SHA256SUMS')).trimEnd().split('\n').map((line) => line.split('  '));
  const files = filesOf(packages.out);
  check(sums.length >= 5, `SHA256SUMS has ${sums.length} lines`);
  for (const [sum, name] of sums) {
    const file = files.find((file) => file === name || file.endsWith(`/${name}`));
    check(file && sha256(join(packages.out, file)) === sum, `${name} has another checksum`);
  }
}

/** The official tool accepts the bundle, and a client that fills it in gets a conversation. */
export async function bundle({ packages, root, modules }) {
  const tool = join(modules, '@anthropic-ai/mcpb/dist/cli/cli.js');
  const file = join(packages.out, `mcp-tether-${packages.version}.mcpb`);
  await inFolder(async (folder) => {
    const options = { env: environment(folder), cwd: folder };
    const mcpb = async (...args) => succeeded(await run(process.execPath, [tool, ...args], options), `mcpb ${args[0]}`);
    await mcpb('validate', join(root, 'examples/mcpb/manifest.json'));
    const told = (await mcpb('info', file)).stdout;
    check(told.includes('mcp-tether'), `mcpb info: ${told}`);
    const target = join(folder, 'bundle');
    await mcpb('unpack', file, target);
    await mcpb('validate', join(target, 'manifest.json'));
    const manifest = JSON.parse(text(join(target, 'manifest.json')));
    check(manifest.version === packages.version, `the bundle is of version ${manifest.version}`);

    const { getMcpConfigForManifest } = await import(pathToFileURL(join(modules, '@anthropic-ai/mcpb/dist/browser.js')).href);
    const server = await mcpServer();
    try {
      const fill = (userConfig) =>
        getMcpConfigForManifest({ manifest, extensionPath: target, systemDirs: {}, userConfig, pathSeparator: '/' });
      check((await fill({})) === undefined, 'the bundle starts without a URL');
      const { command, args, env } = await fill({ url: `${server.url}/mcp` });
      check(!JSON.stringify({ command, args, env }).includes('${'), `not everything is filled in: ${args}`);
      const { child, ended } = await conversation(command, args, { ...options, env: { ...options.env, ...env } });
      child.stdin.end();
      succeeded(await ended, command);
      const secret = await fill({ url: `${server.url}/mcp`, client_id: 'id.access', client_secret: 'hidden' });
      check(secret.env.CF_ACCESS_CLIENT_SECRET === 'hidden' && !secret.args.includes('hidden'), 'the secret is not in env');
    } finally {
      server.close();
    }
  });
}

/** The rules of the schema of 2025-12-11 for what server.json uses, and of the registry that it goes to. */
export async function serverJson({ packages }) {
  const server = JSON.parse(text(join(packages.out, 'server.json')));
  const only = (object, allowed, where) => {
    for (const key of Object.keys(object)) check(allowed.includes(key), `${where}.${key} is not in the schema`);
  };
  only(server, ['$schema', 'name', 'title', 'description', 'version', 'repository', 'packages'], 'server');
  check(/^https:\/\/static\.modelcontextprotocol\.io\/schemas\/2025-12-11\/server\.schema\.json$/.test(server.$schema), server.$schema);
  check(/^[a-zA-Z0-9.-]+\/[a-zA-Z0-9._-]+$/.test(server.name) && server.name.length <= 200, server.name);
  for (const key of ['title', 'description']) check(server[key].length >= 1 && server[key].length <= 100, `${key} has ${server[key].length} characters`);
  check(server.version === packages.version, server.version);
  check(new URL(server.repository.url).protocol === 'https:' && server.repository.source === 'github', 'repository');
  check(server.packages.length === 1, 'packages');
  const [npm] = server.packages;
  only(npm, ['registryType', 'identifier', 'version', 'runtimeHint', 'transport', 'packageArguments', 'environmentVariables'], 'package');
  check(npm.registryType === 'npm' && npm.identifier === packages.main.manifest.name, npm.identifier);
  // One exact version: no range, no tag.
  check(npm.version === packages.version && /^\d+\.\d+\.\d+(-[\w.]+)?$/.test(npm.version), npm.version);
  check(npm.transport.type === 'stdio', npm.transport.type);
  const input = ['description', 'isRequired', 'isSecret', 'format', 'value', 'default', 'placeholder', 'choices'];
  for (const argument of npm.packageArguments) {
    only(argument, [...input, 'type', 'valueHint', 'isRepeated'], 'argument');
    check(argument.type === 'positional' && (argument.valueHint || argument.value), JSON.stringify(argument));
  }
  for (const variable of npm.environmentVariables) {
    only(variable, [...input, 'name'], 'variable');
    check(/^[A-Z_]+$/.test(variable.name), variable.name);
    check(!/SECRET/.test(variable.name) || variable.isSecret === true, `${variable.name} is no secret`);
  }
  // This is how the registry knows that the npm package is ours.
  check(packages.main.manifest.mcpName === server.name, `mcpName is ${packages.main.manifest.mcpName}`);
}

/** install.sh installs, replaces, says where to, and refuses what is not what it should be. */
export async function installScript({ packages, target }) {
  const name = `mcp-tether-${packages.version}-${target}.tar.gz`;
  const content = readFileSync(join(packages.out, 'archives', name));
  let served = content;
  const { url, close } = await serve((request, response) => {
    const isThere = request.url === `/${name}` && served;
    response.writeHead(isThere ? 200 : 404).end(isThere ? served : 'not found');
  });
  try {
    await inFolder(async (folder) => {
      const env = environment(folder, process.execPath, { MCP_TETHER_DOWNLOAD_URL: url });
      const script = join(packages.out, 'install.sh');
      const install = (...args) => run('sh', [script, ...args], { env, cwd: folder });
      const bin = join(folder, '.local/bin');
      const program = join(bin, 'mcp-tether');

      const first = succeeded(await install(), 'install.sh');
      check(first.stdout.startsWith(`Installed mcp-tether ${packages.version} as ${program}\n`), first.stdout);
      check(first.stdout.includes('is not on PATH'), first.stdout);
      await exchange(program, [], { env });
      check(readdirSync(bin).join() === 'mcp-tether', `it left ${readdirSync(bin)}`);

      // Again, while the program runs.
      const server = await mcpServer();
      const running = await conversation(program, [`${server.url}/mcp`], { env });
      env.PATH += delimiter + bin;
      check(succeeded(await install(), 'install.sh').stdout.includes('is on PATH.'), 'PATH was not noticed');
      running.child.stdin.end();
      succeeded(await running.ended, 'the program that was replaced');
      server.close();

      // Debian's shell, and that of Alpine and BusyBox.
      for (const [name, ...shell] of [['dash'], ['busybox', 'sh'], ['bash', '--posix']]) {
        if (execFileSync('sh', ['-c', `command -v ${name} || true`]).length === 0) continue;
        const into = join(folder, `with-${name}`);
        succeeded(await run(name, [...shell, script, '--to', into], { env, cwd: folder }), name);
        check(existsSync(join(into, 'mcp-tether')), `${name} installed nothing`);
      }

      const elsewhere = join(folder, 'a folder');
      succeeded(await install('--to', elsewhere), 'install.sh --to');
      check(existsSync(join(elsewhere, 'mcp-tether')), 'nothing is in the folder that was named');

      const piped = join(folder, 'piped');
      succeeded(await run('sh', ['-s', '--', '--to', piped], { env, cwd: folder, input: text(script) }), 'install.sh from a pipe');
      check(existsSync(join(piped, 'mcp-tether')), 'install.sh from a pipe installed nothing');

      const empty = join(folder, 'empty');
      const refused = async (expected, ...args) => {
        const done = await install('--to', empty, ...args);
        check(done.code === 1 && expected.test(done.stderr), `${done.code}: ${done.stderr}`);
        check(!existsSync(empty), 'something was installed');
      };
      served = Buffer.concat([content, Buffer.from('x')]);
      await refused(/the checksum of .* is [0-9a-f]{64} and not [0-9a-f]{64}: nothing was installed/);
      served = Buffer.alloc(0);
      await refused(/checksum|cannot be downloaded/);
      served = null;
      await refused(/cannot be downloaded/);
      await refused(/unknown argument --prefix/, '--prefix');

      // A script of which only a part arrived does nothing.
      const whole = text(script);
      for (const part of [0.3, 0.6, 0.9]) {
        const cut = join(folder, 'cut.sh');
        writeFileSync(cut, whole.slice(0, whole.length * part));
        await run('sh', [cut, '--to', empty], { env, cwd: folder });
        check(!existsSync(empty), `${part} of the script installs`);
      }

      // Each program that it may use, as far as it is here.
      served = content;
      const tools = join(folder, 'tools');
      mkdirSync(tools);
      const has = (name) => execFileSync('sh', ['-c', `command -v ${name} || true`], { encoding: 'utf8' }).trim();
      for (const needed of ['uname', 'mktemp', 'cut', 'sed', 'tar', 'gzip', 'cp', 'mv', 'rm', 'mkdir', 'chmod', 'sh']) {
        execFileSync('ln', ['-s', has(needed), join(tools, needed)]);
      }
      const poor = { ...env, PATH: tools };
      const shell = has('sh');
      const done = await run(shell, [script, '--to', empty], { env: poor });
      check(done.code === 1 && done.stderr.includes('neither curl nor wget'), done.stderr);
      for (const [fetcher, hasher] of [['wget', 'openssl'], ['wget', 'shasum'], ['curl', 'sha256sum']]) {
        if (!has(fetcher) || !has(hasher)) continue;
        const some = join(folder, `${fetcher}-${hasher}`);
        execFileSync('cp', ['-a', tools, some]);
        for (const tool of [fetcher, hasher, 'perl']) if (has(tool)) execFileSync('ln', ['-s', has(tool), join(some, tool)]);
        const into = join(folder, `by-${fetcher}-${hasher}`);
        succeeded(await run(shell, [script, '--to', into], { env: { ...poor, PATH: some } }), `${fetcher} and ${hasher}`);
        check(existsSync(join(into, 'mcp-tether')), `${fetcher} and ${hasher} installed nothing`);
      }
    });
  } finally {
    close();
  }
}
