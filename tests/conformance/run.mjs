// Runs the client scenarios of the official conformance suite through mcp-tether: each by a local client of the legacy era and
// by one of the modern era, whatever the scenario's. In those of auth/* a person signs in at once.
//
//   node run.mjs --command PATH [--all] [--only SCENARIO] [--client legacy|modern]
//
// Without --all it leaves most of auth/* out. With it, it also fails where the suite has a scenario for clients that is neither
// run here nor one of those for grants and bindings that mcp-tether does not have.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** In place of a revision: what is of no particular one. */
const EXTENSION = 'an extension';

const AUTH = [
  [['2025-03-26'], '2025-03-26-oauth-metadata-backcompat', '2025-03-26-oauth-endpoint-fallback'],
  [
    ['2025-11-25', '2026-07-28'],
    'metadata-default',
    'metadata-var1',
    'metadata-var2',
    'metadata-var3',
    'basic-cimd',
    'scope-from-www-authenticate',
    'scope-from-scopes-supported',
    'scope-omitted-when-undefined',
    'scope-step-up',
    'scope-retry-limit',
    'pre-registration',
  ],
  [
    ['2025-06-18', '2025-11-25', '2026-07-28'],
    'token-endpoint-auth-basic',
    'token-endpoint-auth-post',
    'token-endpoint-auth-none',
  ],
  [
    ['2026-07-28'],
    'resource-mismatch',
    'offline-access-scope',
    'offline-access-not-supported',
    'authorization-server-migration',
    'iss-supported',
    'iss-not-advertised',
    'iss-supported-missing',
    'iss-wrong-issuer',
    'iss-unexpected',
    'iss-normalized',
    'metadata-issuer-mismatch',
  ],
  [
    [EXTENSION],
    'client-credentials-basic',
    'client-credentials-jwt',
    'dpop',
    'dpop-nonce',
    'wif-jwt-bearer',
    'enterprise-managed-authorization',
  ],
];

/** Those of auth/* that are always run. */
const SHORT = [
  'auth/2025-03-26-oauth-endpoint-fallback, 2025-03-26',
  'auth/metadata-var3, 2025-11-25',
  'auth/basic-cimd, 2026-07-28',
  'auth/scope-step-up, 2026-07-28',
  'auth/pre-registration, 2026-07-28',
  'auth/authorization-server-migration, 2026-07-28',
  'auth/iss-wrong-issuer, 2026-07-28',
  'auth/client-credentials-basic, an extension',
  'auth/client-credentials-jwt, an extension',
  'auth/dpop, an extension',
  'auth/dpop-nonce, an extension',
  'auth/wif-jwt-bearer, an extension',
  'auth/enterprise-managed-authorization, an extension',
];

const SCENARIOS = [
  ['tools_call', '2026-07-28'],
  ['request-metadata', '2026-07-28'],
  ['http-standard-headers', '2026-07-28'],
  ['http-custom-headers', '2026-07-28'],
  ['http-invalid-tool-headers', '2026-07-28'],
  ['sep-2322-client-request-state', '2026-07-28'],
  ['json-schema-ref-no-deref', '2026-07-28'],
  ['json-schema-2020-12-preservation', '2026-07-28'],
  ['initialize', '2025-06-18'],
  ['tools_call', '2025-06-18'],
  ['initialize', '2025-11-25'],
  ['tools_call', '2025-11-25'],
  ['elicitation-sep1034-client-defaults', '2025-11-25'],
  ['sse-retry', '2025-11-25'],
  ['json-schema-2020-12-preservation', '2025-11-25'],
  ['sep-2640-client-no-prefetch', EXTENSION],
  ['sep-2640-client-verify-digest', EXTENSION],
  ['sep-2640-client-verify-size', EXTENSION],
  ['sep-2640-client-verify-frontmatter', EXTENSION],
  ...AUTH.flatMap(([revisions, ...names]) =>
    revisions.flatMap((revision) => names.map((name) => [`auth/${name}`, revision])),
  ),
];

/**
 * They want every request, the very first too, to be one of 2026-07-28. A legacy client's own opening goes to an unknown server as
 * it is, so for these the person says what the server speaks.
 */
const SAID = ['request-metadata', 'http-standard-headers'];

/** Where the person has to say something: the address of a description of the client, which the suite never fetches; that nobody signs in. */
const OPTIONS = {
  'auth/client-credentials-basic': '--client-credentials',
  'auth/client-credentials-jwt': '--client-credentials',
  'auth/wif-jwt-bearer': '--workload-identity=env:PLATFORM_TOKEN',
  'auth/enterprise-managed-authorization': '--enterprise-id-token=env:COMPANY_TOKEN',
  'auth/basic-cimd': '--client-metadata-url=https://conformance-test.local/client-metadata.json',
};

const here = dirname(fileURLToPath(import.meta.url));
const suite = join(here, 'node_modules/@modelcontextprotocol/conformance/dist/index.js');
const preload = pathToFileURL(join(here, 'preload.mjs')).href;
const folder = mkdtempSync(join(tmpdir(), 'mcp-tether-conformance-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const option = (name) => process.argv[process.argv.indexOf(name) + 1];
const command = process.argv.includes('--command') ? option('--command') : 'mcp-tether';
const wanted = ([name, revision]) => {
  if (process.argv.includes('--only')) return name.startsWith(option('--only'));
  const isShort = !name.startsWith('auth/') || SHORT.includes(`${name}, ${revision}`);
  return isShort || process.argv.includes('--all');
};
const chosen = SCENARIOS.filter(wanted);

const clients = process.argv.includes('--client') ? [option('--client')] : ['legacy', 'modern'];

let failed = 0;
let passes = 0;
for (const missing of process.argv.includes('--all') ? forgotten() : []) {
  failed += 1;
  console.log(`FAIL ${missing} is in the suite, and not run here`);
}
for (const [scenario, revision] of chosen) {
  for (const era of clients) {
    const { code, told } = await run(scenario, revision, era);
    const checks = told.match(/Passed: \d+\/\d+/)?.[0] ?? 'no checks';
    const passed = code === 0 && told.includes('OVERALL: PASSED');
    console.log(`${passed ? 'ok  ' : 'FAIL'} ${scenario}, ${revision}, by a ${era} client (${checks})`);
    if (passed) {
      passes += 1;
    } else {
      failed += 1;
      console.log(told);
    }
  }
}
console.log(`${passes} scenarios passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

/** Client scenarios of the suite that are not in the list above. */
function forgotten() {
  const { stdout } = spawnSync(process.execPath, ['--import', preload, suite, 'list'], { encoding: 'utf8' });
  const ofClients = stdout.split('Client scenarios')[1]?.split('\n\n')[0] ?? '';
  const listed = [...ofClients.matchAll(/^\s*- (\S+) \[(extension|[\d,-]+)\]$/gm)];
  if (listed.length === 0) return ['a list of client scenarios that could be read'];
  const named = listed.flatMap(([, name, revisions]) =>
    revisions.split(',').map((revision) => `${name}, ${revision === 'extension' ? EXTENSION : revision}`),
  );
  const known = new Set(SCENARIOS.map(([name, revision]) => `${name}, ${revision}`));
  return named.filter((name) => !known.has(name));
}

function run(scenario, revision, era) {
  const client = `"${process.execPath}" "${join(here, 'client.mjs')}"`;
  const suiteArguments = ['client', '--command', client, '--scenario', scenario];
  if (revision !== EXTENSION) suiteArguments.push('--spec-version', revision);
  const said = era === 'legacy' && SAID.includes(scenario) ? '--protocol=modern' : '';
  const options = [said, OPTIONS[scenario] ?? ''].join(' ');
  const browser = `"${process.execPath}" "${join(here, 'browser.mjs')}"`;
  // Ports are used again: what is known of one server is not of another.
  const own = mkdtempSync(join(folder, 'run-'));
  const child = spawn(process.execPath, ['--import', preload, suite, ...suiteArguments], {
    env: {
      ...process.env,
      MCP_TETHER: command,
      MCP_TETHER_OPTIONS: options,
      CLIENT_ERA: era,
      SKILL_LOADED: scenario.match(/^sep-2640-client-verify-(.*)$/)?.[1] ?? '',
      XDG_CONFIG_HOME: own,
      BROWSER: browser,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let told = '';
  child.stdout.on('data', (data) => (told += data));
  child.stderr.on('data', (data) => (told += data));
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, told })));
}
