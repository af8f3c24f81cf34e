#!/usr/bin/env node
// mcp-proxy from npm is killed and started again in mid-conversation: it answers 401 for a session that it does not know, and
// the client, which talks to it through a command that is given the URL (mcp-tether), must see nothing of it.

import process from 'node:process';
import { parseArgs } from 'node:util';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { killAll, startMcpProxy } from './server.mjs';

const RESTARTS = 2;
const CALLS = 3;
const TIME_LIMIT = 60_000;

process.on('exit', killAll);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(2));
setTimeout(() => { console.error(`gave up after ${TIME_LIMIT / 1000} s`); process.exit(2); }, TIME_LIMIT).unref();

const { values } = parseArgs({ options: { command: { type: 'string' } } });
if (!values.command) {
  console.error('usage: node mcp-proxy.mjs --command PATH');
  process.exit(2);
}
try {
  await main(values.command);
} catch (error) {
  console.error(error.stack);
  process.exitCode = 1;
}
process.exit();

async function main(command) {
  let server = await startMcpProxy();
  const url = `http://127.0.0.1:${server.port}/mcp`;
  const client = new Client({ name: 'mcp-tether-mcp-proxy', version: '1.0.0' }, { capabilities: {} });
  await client.connect(new StdioClientTransport({ command, args: ['--no-cache', url], stderr: 'inherit' }));
  let calls = 0;
  for (let restart = 0; restart <= RESTARTS; restart += 1) {
    if (restart > 0) {
      await server.stop();
      server = await startMcpProxy(server.port);
    }
    for (let call = 0; call < CALLS; call += 1) {
      const message = `${restart}.${call}`;
      const result = await client.callTool({ name: 'echo', arguments: { message } });
      if (result.content[0].text !== `Echo: ${message}`) throw new Error(`another echo than ${message}: ${JSON.stringify(result)}`);
      calls += 1;
    }
  }
  await client.close();
  await server.stop();
  console.log(`${calls} calls over ${RESTARTS} restarts of mcp-proxy, all answered`);
}
