// Somebody else's project: a folder with a package.json of its own and our tarballs installed.
import { existsSync, lstatSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { capture, npm, pnpmCapture } from '../toolchain.mjs';
import { closure } from './tarballs.mjs';

/** The environment without what npm and pnpm tell their scripts about *this* project, and without CI's defaults. */
export function foreignEnvironment() {
  const own =
    /^(npm_(package|lifecycle|command|config_(local_prefix|user_agent|prefer_offline)|execpath)|pnpm_|INIT_CWD|CI$)/i;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !own.test(name)));
}

/** Unpublished packages that others of ours depend on are taken from their tarballs, as the registry would give them. */
function overrides(names, tarballs) {
  const needed = [...new Set(names.flatMap((name) => closure(name)))].filter((name) => tarballs.has(name));
  return Object.fromEntries(needed.map((name) => [name, `file:${tarballs.get(name).replaceAll('\\', '/')}`]));
}

export async function installWithNpm(dir, names, tarballs) {
  const files = overrides(names, tarballs);
  writeManifest(dir, {
    dependencies: Object.fromEntries(names.map((name) => [name, files[name]])),
    overrides: files,
  });
  const { command, args, shell } = npm();
  const flags = ['install', '--no-audit', '--no-fund', '--no-update-notifier'];
  expectClean(
    'npm install',
    await capture(command, [...args, ...flags], { cwd: dir, shell, env: foreignEnvironment() }),
  );
  expectInstalled(dir, names);
}

export async function installWithPnpm(dir, names, tarballs) {
  const files = overrides(names, tarballs);
  writeManifest(dir, {});
  const lines = Object.entries(files).map(([name, file]) => `  '${name}': '${file}'`);
  writeFileSync(path.join(dir, 'pnpm-workspace.yaml'), `overrides:\n${lines.join('\n')}\n`);
  const result = await pnpmCapture(['add', ...names.map((name) => tarballs.get(name))], dir, foreignEnvironment());
  expectClean('pnpm add', result);
  expectInstalled(dir, names);
}

function writeManifest(dir, rest) {
  mkdirSync(dir, { recursive: true });
  writeFileSync(path.join(dir, 'package.json'), JSON.stringify({ name: 'consumer', private: true, ...rest }, null, 2));
}

/** Nothing of ours may ask a user to approve a script. */
function expectClean(what, { status, stdout, stderr }) {
  const output = `${stdout}${stderr}`;
  if (status !== 0) throw new Error(`${what} ended with ${status}\n${output}`);
  if (/IGNORED_BUILDS|Ignored build scripts|approve-builds|npm (approve|allow)-scripts/i.test(output)) {
    throw new Error(`${what} asks for a script approval\n${output}`);
  }
}

function expectInstalled(dir, names) {
  const missing = names.filter((name) => !existsSync(path.join(dir, 'node_modules', name, 'package.json')));
  if (missing.length) throw new Error(`not installed: ${missing.join(', ')}`);
}

/** Bytes and package names in a node_modules folder. */
export function folderSize(dir) {
  let bytes = 0;
  const packages = [];
  const visit = (current) => {
    for (const entry of readdirSync(current, { withFileTypes: true })) {
      const full = path.join(current, entry.name);
      if (entry.isDirectory()) {
        if (existsSync(path.join(full, 'package.json'))) packages.push(path.relative(dir, full).replaceAll('\\', '/'));
        visit(full);
      } else bytes += lstatSync(full).size;
    }
  };
  visit(dir);
  return { bytes, packages };
}
