// Finds npm, runs the pnpm that package.json names through it, and installs the workspace's packages.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

/** Tool output is shown only on failure unless this is set, so that stdout and stderr stay readable. */
export const verbose = Boolean(process.env.AIRLLM_VERBOSE);

/** npm's own script, run by the Node that runs us: no shell, so no quoting, and no .cmd files on Windows. */
function npmScript() {
  const fromNpm = process.env.npm_execpath; // set by `npm start`, but by `pnpm start` to pnpm's script
  const bin = path.dirname(process.execPath);
  const candidates = [
    ...(fromNpm && path.basename(fromNpm) === 'npm-cli.js' ? [fromNpm] : []),
    path.join(bin, 'node_modules/npm/bin/npm-cli.js'),
    path.join(bin, '../lib/node_modules/npm/bin/npm-cli.js'),
    '/usr/share/nodejs/npm/bin/npm-cli.js',
  ];
  return candidates.find((file) => existsSync(file));
}

/** Command and leading arguments that start npm. */
export function npm() {
  const script = npmScript();
  if (script) return { command: process.execPath, args: [script], shell: false };
  // A shell finds npm.cmd; none of our arguments has a character it would interpret.
  return { command: 'npm', args: [], shell: process.platform === 'win32' };
}

/** The exact pnpm of package.json's `packageManager`; corepack is not asked, it fails where it is not set up. */
export const pnpmVersion = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')).packageManager.split(
  '@',
)[1];

/**
 * Runs a command to its end.
 * `output`: 'inherit'; 'stderr' (all of it there, as stdout belongs to somebody else); or 'on failure' (to stderr).
 */
export function run(command, args, { output = 'inherit', cwd = root, env = {}, shell = false } = {}) {
  const stdio = {
    inherit: ['ignore', 'inherit', 'inherit'],
    stderr: ['ignore', 2, 2],
    'on failure': ['ignore', 'pipe', 'pipe'],
  }[output];
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, stdio, shell, env: { ...process.env, ...env } });
    const held = [];
    child.stdout?.on('data', (chunk) => held.push(chunk));
    child.stderr?.on('data', (chunk) => held.push(chunk));
    child.on('error', reject);
    child.on('close', (code, signal) => {
      const status = code ?? 128 + (signal === 'SIGINT' ? 2 : 15);
      if (status !== 0) process.stderr.write(Buffer.concat(held));
      resolve(status);
    });
  });
}

/** Runs a command to its end and returns what it printed. */
export function capture(command, args, { cwd = root, env = process.env, shell = false } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env, shell, stdio: ['ignore', 'pipe', 'pipe'] });
    const texts = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr']) {
      child[stream].setEncoding('utf8').on('data', (text) => {
        texts[stream] += text;
      });
    }
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ status: code ?? signal, ...texts }));
  });
}

/**
 * Runs pnpm. npm puts that pnpm first on the PATH of what it starts, which turbo and publint rely on: they call it by
 * name, and a machine may have none or another one.
 */
export function pnpm(args, options = {}) {
  const { command, args: leading, shell } = npm();
  return run(command, [...leading, 'exec', '--yes', '--', `pnpm@${pnpmVersion}`, ...args], {
    shell,
    ...options,
    env: {
      npm_config_update_notifier: 'false',
      // Once installed, everything runs without a network; otherwise npm would ask for news of pnpm, for a minute.
      npm_config_prefer_offline: 'true',
      TURBO_TELEMETRY_DISABLED: '1',
      ...options.env,
    },
  });
}

/** `node .ci/setup.mjs pnpm …`: the right pnpm for scripts, with the packages installed. */
export async function pnpmCommand(args) {
  await install();
  return pnpm(args);
}

/** Everything an install depends on. Platform and Node version choose the optional packages. */
function installKey() {
  const hash = createHash('sha256').update(`${process.platform} ${process.arch} ${process.version}\n`);
  const folders = ['.', ...['packages', 'packages/kernels/npm', 'apps'].flatMap((parent) => children(parent))];
  const files = [
    'pnpm-lock.yaml',
    'pnpm-workspace.yaml',
    ...folders.map((folder) => path.join(folder, 'package.json')),
  ];
  for (const file of files) {
    const full = path.join(root, file);
    if (existsSync(full)) hash.update(`${file}\n`).update(readFileSync(full));
  }
  return hash.digest('hex');
}

function children(parent) {
  const full = path.join(root, parent);
  if (!existsSync(full)) return [];
  return readdirSync(full)
    .sort()
    .map((name) => path.join(parent, name));
}

/** Installs what the lockfile says, unless that has been done already. Throws when it fails. */
export async function install() {
  const stamp = path.join(root, 'node_modules/.airllm-installed');
  const key = installKey();
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === key) return;
  console.error('Installing packages …');
  const status = await pnpm(['install', '--frozen-lockfile'], {
    output: verbose ? 'stderr' : 'on failure',
    // No package may run a script at install time; this one would try to download where a setting lets it.
    env: { ONNXRUNTIME_NODE_INSTALL: 'skip', npm_config_prefer_offline: 'false' },
  });
  if (status !== 0) throw new Error(`pnpm install ended with ${status}; its output is above`);
  writeFileSync(stamp, key);
}

/** Runs the repository's version of pnpm. */
export function pnpmCapture(args, cwd, env = process.env) {
  const { command, args: leading, shell } = npm();
  return capture(command, [...leading, 'exec', '--yes', '--', `pnpm@${pnpmVersion}`, ...args], {
    cwd,
    shell,
    env: { ...env, npm_config_update_notifier: 'false' },
  });
}
