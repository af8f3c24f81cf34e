// Starts a command with this process's stdin and stdout, and notes in a file how it ended: clients do not tell.
//
//   node watch.mjs FILE COMMAND [ARGUMENT...]

import { spawn } from 'node:child_process';
import { appendFileSync } from 'node:fs';

const [file, command, ...args] = process.argv.slice(2);
spawn(command, args, { stdio: 'inherit' }).on('exit', (code, signal) => appendFileSync(file, `${signal ?? code}\n`));
