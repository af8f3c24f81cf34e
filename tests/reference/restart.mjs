#!/usr/bin/env node
// The reference server is killed and started again in mid-conversation, several times: the client, which talks to it through
// a command that is given the URL (mcp-tether), must see nothing of it but the delay. Prints what the client saw.

import process from 'node:process';
import { parseArgs } from 'node:util';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { ResourceUpdatedNotificationSchema, ToolListChangedNotificationSchema } from '@modelcontextprotocol/sdk/types.js';
import { killAll, startReferenceServer, until } from './server.mjs';

const RESTARTS = 3;
const CALLS_AT_ONCE = 10;
const TIME_LIMIT = 90_000;

process.on('exit', killAll);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(2));
setTimeout(() => { console.error(`gave up after ${TIME_LIMIT / 1000} s`); process.exit(2); }, TIME_LIMIT).unref();

const { values } = parseArgs({ options: { command: { type: 'string' } } });
if (!values.command) {
  console.error('usage: node restart.mjs --command PATH');
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
  let server = await startReferenceServer();
  const url = `http://127.0.0.1:${server.port}/mcp`;
  const client = new Client({ name: 'mcp-tether-restart', version: '1.0.0' }, { capabilities: {} });
  const heard = { tools: 0, updates: 0 };
  client.setNotificationHandler(ToolListChangedNotificationSchema, () => { heard.tools += 1; });
  client.setNotificationHandler(ResourceUpdatedNotificationSchema, () => { heard.updates += 1; });
  await client.connect(new StdioClientTransport({ command, args: ['--no-cache', url], stderr: 'inherit' }));
  await client.setLoggingLevel('debug');
  const { tools } = await client.listTools();
  await client.subscribeResource({ uri: 'demo://resource/static/document/features.md' });
  const echo = async (message) => {
    const result = await client.callTool({ name: 'echo', arguments: { message } });
    if (result.content[0].text !== `Echo: ${message}`) throw new Error(`another echo than ${message}: ${JSON.stringify(result)}`);
  };
  await echo('before');
  let calls = 1;
  for (let restart = 1; restart <= RESTARTS; restart += 1) {
    await server.stop();
    // Half of the calls are made while nobody listens.
    const early = Array.from({ length: CALLS_AT_ONCE / 2 }, (_, number) => echo(`early ${restart}.${number}`));
    server = await startReferenceServer(server.port);
    const late = Array.from({ length: CALLS_AT_ONCE / 2 }, (_, number) => echo(`late ${restart}.${number}`));
    await Promise.all([...early, ...late]);
    calls += CALLS_AT_ONCE;
    await until('the tools to be announced as changed', () => heard.tools >= restart);
  }
  const again = await client.listTools();
  if (JSON.stringify(again.tools) !== JSON.stringify(tools)) throw new Error('the tools are others');
  await client.close();
  await server.stop();
  console.log(`${calls} calls over ${RESTARTS} restarts, all answered`);
}
