// Runs the client scenarios of the official conformance suite, all but auth/*, through mcp-tether: each by a local client of
// the legacy era and by one of the modern era, whatever the scenario's.
//
//   node run.mjs --command PATH [--only SCENARIO] [--client legacy|modern]
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

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
];

/**
 * They want every request, the very first too, to be one of 2026-07-28. A legacy client's own opening goes to an unknown server as
 * it is, so for these the person says what the server speaks.
 */
const SAID = ['request-metadata', 'http-standard-headers'];

const here = dirname(fileURLToPath(import.meta.url));
const option = (name) => process.argv[process.argv.indexOf(name) + 1];
const command = process.argv.includes('--command') ? option('--command') : 'mcp-tether';
const chosen = process.argv.includes('--only') ? SCENARIOS.filter(([name]) => name === option('--only')) : SCENARIOS;

const clients = process.argv.includes('--client') ? [option('--client')] : ['legacy', 'modern'];

let failed = 0;
for (const [scenario, revision] of chosen) {
  for (const era of clients) {
    const { code, told } = await run(scenario, revision, era);
    const checks = told.match(/Passed: \d+\/\d+/)?.[0] ?? 'no checks';
    const passed = code === 0 && told.includes('OVERALL: PASSED');
    console.log(`${passed ? 'ok  ' : 'FAIL'} ${scenario}, ${revision}, by a ${era} client (${checks})`);
    if (!passed) {
      failed += 1;
      console.log(told);
    }
  }
}
console.log(`${chosen.length * clients.length - failed} scenarios passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

function run(scenario, revision, era) {
  const suite = join(here, 'node_modules/@modelcontextprotocol/conformance/dist/index.js');
  const preload = pathToFileURL(join(here, 'preload.mjs')).href;
  const client = `"${process.execPath}" "${join(here, 'client.mjs')}"`;
  const suiteArguments = ['client', '--command', client, '--scenario', scenario, '--spec-version', revision];
  const said = era === 'legacy' && SAID.includes(scenario) ? '--protocol=modern' : '';
  const child = spawn(process.execPath, ['--import', preload, suite, ...suiteArguments], {
    env: { ...process.env, MCP_TETHER: command, MCP_TETHER_OPTIONS: said, CLIENT_ERA: era },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let told = '';
  child.stdout.on('data', (data) => (told += data));
  child.stderr.on('data', (data) => (told += data));
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, told })));
}
