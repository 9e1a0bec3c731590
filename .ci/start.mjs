// `npm start`: builds what the quickstart needs and becomes it. stdout carries the story and nothing else.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { install, pnpm, root, verbose } from './toolchain.mjs';

const app = '@airllm-apps/quickstart';

export async function start(args) {
  await install();
  const program = path.join(root, 'apps/quickstart/dist/bin.js');
  if (!existsSync(program)) console.error('Building …');
  const status = await pnpm(['exec', 'turbo', 'run', 'build', `--filter=${app}...`], {
    output: verbose ? 'stderr' : 'on failure',
  });
  if (status !== 0) throw new Error(`building ${app} ended with ${status}; its output is above`);
  return become(program, args);
}

/** Runs a program with our streams. Ctrl-C reaches it through the terminal: we only must not end before it does. */
function become(file, args) {
  const child = spawn(process.execPath, [file, ...args], { stdio: 'inherit' });
  const ignore = () => {};
  const forward = (signal) => child.kill(signal);
  process.on('SIGINT', ignore);
  process.on('SIGTERM', forward);
  process.on('SIGHUP', forward);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(code ?? 128 + (os.constants.signals[signal] ?? 0)));
  });
}
