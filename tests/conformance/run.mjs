// Runs the client scenarios of the official conformance suite for 2026-07-28, all but auth/*, through mcp-tether.
//
//   node run.mjs --command PATH [--only SCENARIO]
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const SCENARIOS = [
  'tools_call',
  'request-metadata',
  'http-standard-headers',
  'http-custom-headers',
  'http-invalid-tool-headers',
  'sep-2322-client-request-state',
  'json-schema-ref-no-deref',
  'json-schema-2020-12-preservation',
];

const here = dirname(fileURLToPath(import.meta.url));
const option = (name) => process.argv[process.argv.indexOf(name) + 1];
const command = process.argv.includes('--command') ? option('--command') : 'mcp-tether';
const chosen = process.argv.includes('--only') ? [option('--only')] : SCENARIOS;

let failed = 0;
for (const scenario of chosen) {
  const { code, told } = await run(scenario);
  const checks = told.match(/Passed: \d+\/\d+/)?.[0] ?? 'no checks';
  const passed = code === 0 && told.includes('OVERALL: PASSED');
  console.log(`${passed ? 'ok  ' : 'FAIL'} ${scenario} (${checks})`);
  if (!passed) {
    failed += 1;
    console.log(told);
  }
}
console.log(`${chosen.length - failed} scenarios passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

function run(scenario) {
  const suite = join(here, 'node_modules/@modelcontextprotocol/conformance/dist/index.js');
  const preload = pathToFileURL(join(here, 'preload.mjs')).href;
  const client = `"${process.execPath}" "${join(here, 'client.mjs')}"`;
  const suiteArguments = ['client', '--command', client, '--scenario', scenario, '--spec-version', '2026-07-28'];
  const child = spawn(process.execPath, ['--import', preload, suite, ...suiteArguments], {
    env: { ...process.env, MCP_TETHER: command },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let told = '';
  child.stdout.on('data', (data) => (told += data));
  child.stderr.on('data', (data) => (told += data));
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, told })));
}
