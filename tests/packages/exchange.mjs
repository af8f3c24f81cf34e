// One conversation between a command and an MCP server on loopback: node exchange.mjs COMMAND [ARGUMENTS]
import { exchange } from './place.mjs';

const [command, ...args] = process.argv.slice(2);
await exchange(command, args, { env: process.env });
console.log(`${command} answers`);
