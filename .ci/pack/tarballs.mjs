// Packing, and what can be seen in a tarball without installing it.
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { capture, pnpmCapture, root } from '../toolchain.mjs';

export const platform = `${process.platform}-${process.arch}`;
const npmFolder = path.join(root, 'packages/kernels/npm');
export const platformFolder = path.join(npmFolder, platform);

const folderOf = (name) =>
  name.startsWith('@airllm/kernels-')
    ? path.join(npmFolder, name.slice('@airllm/kernels-'.length))
    : path.join(root, 'packages', path.basename(name));
const manifestOf = (name) => JSON.parse(readFileSync(path.join(folderOf(name), 'package.json'), 'utf8'));

/** @returns {Promise<Map<string, string>>} package name → tarball, with this platform's library if it has one */
export async function packAll(packages, destination) {
  mkdirSync(destination, { recursive: true });
  const names = [...packages];
  if (existsSync(platformFolder)) names.push(`@airllm/kernels-${platform}`);
  const tarballs = new Map();
  for (const name of names) {
    const { status, stdout, stderr } = await pnpmCapture(
      ['pack', '--json', '--pack-destination', destination],
      folderOf(name),
    );
    if (status !== 0) throw new Error(`${name}: pnpm pack ended with ${status}\n${stdout}${stderr}`);
    // prepack may print before the JSON.
    const { filename } = JSON.parse(stdout.slice(stdout.indexOf('{\n')));
    tarballs.set(name, filename);
  }
  return tarballs;
}

/** The packages of the workspace that a package needs, itself first. */
export function closure(name, found = new Set()) {
  if (found.has(name)) return [...found];
  found.add(name);
  const { dependencies = {}, optionalDependencies = {} } = manifestOf(name);
  for (const each of Object.keys({ ...dependencies, ...optionalDependencies })) {
    if (each.startsWith('@airllm/')) closure(each, found);
  }
  return [...found];
}

async function tar(...args) {
  const { status, stdout, stderr } = await capture('tar', args);
  if (status !== 0) throw new Error(`tar ${args.join(' ')} ended with ${status}: ${stderr}`);
  return stdout;
}

/** A tarball has what its manifest promises, a licence and a README, and nothing of the workspace's own. */
export async function checkContents(name, file) {
  const files = (await tar('-tzf', file))
    .split(/\r?\n/)
    .filter(Boolean)
    .map((each) => each.replace(/^package\//, ''));
  const texts = ['LICENSE', 'package.json', ...(name.startsWith('@airllm/kernels-') ? [] : ['README.md'])];
  const problems = texts.filter((each) => !files.includes(each)).map((each) => `no ${each}`);
  problems.push(...files.filter((each) => /\.test\.|^src\/|\.readme-examples|tsconfig|tsup\.config/.test(each)));

  const manifest = JSON.parse(await tar('-xzOf', file, 'package/package.json'));
  for (const kind of ['dependencies', 'optionalDependencies', 'peerDependencies']) {
    for (const [dependency, range] of Object.entries(manifest[kind] ?? {})) {
      if (/^(workspace|catalog|link|file):/.test(range)) problems.push(`${kind}: ${dependency} is ${range}`);
      if (dependency.startsWith('@airllm/') && range !== manifest.version) {
        problems.push(`${kind}: ${dependency} is ${range}, not exactly ${manifest.version}`);
      }
    }
  }
  for (const script of ['preinstall', 'install', 'postinstall']) {
    if (manifest.scripts?.[script]) problems.push(`has a script ${script}, which users would have to approve`);
  }
  if (name.startsWith('@airllm/kernels-') && !files.some((each) => /\.(so|dylib|dll|node)$/.test(each))) {
    problems.push('has no library');
  }
  if (problems.length) throw new Error(problems.join('\n'));
  return `${files.length} files`;
}

export async function lint(file, { attw }) {
  const runs = [['publint', 'run', '--strict', file]];
  // node16: what Node itself and bundlers resolve; node10 has no `exports`.
  if (attw)
    runs.push(['attw', '--profile', 'node16', '--no-definitely-typed', '--no-emoji', '--format', 'ascii', file]);
  for (const [tool, ...args] of runs) {
    const { status, stdout, stderr } = await pnpmCapture(['exec', tool, ...args], root);
    if (status !== 0) throw new Error(`${tool} ended with ${status}\n${stdout}${stderr}`);
  }
}

/** Packs a copy of the platform packages' folder in which no library has been built. */
export async function packRefusesEmpty(scratch) {
  if (!existsSync(npmFolder) || readdirSync(npmFolder).length === 0)
    throw new Error(`${npmFolder} has no platform packages`);
  // The whole of packages/kernels but what is built, so that scripts it refers to are there.
  const built = /[\\/](node_modules|dist|lib|build|obj|\.turbo)$/;
  const kernels = path.join(scratch, 'packages/kernels');
  cpSync(path.join(root, 'packages/kernels'), kernels, { recursive: true, filter: (source) => !built.test(source) });
  const name = readdirSync(path.join(kernels, 'npm'))[0];
  const dir = path.join(kernels, 'npm', name);
  const { status, stdout, stderr } = await pnpmCapture(['pack', '--pack-destination', scratch], dir);
  const output = `${stdout}${stderr}`;
  if (status === 0) throw new Error(`pnpm pack made a package of the empty ${name}\n${output}`);
  // It has to refuse because of the library, and not fail for another reason.
  if (!/librar|\.so\b|\.dylib\b|\.dll\b/i.test(output))
    throw new Error(`pnpm pack failed, but not over the library:\n${output}`);
  return name;
}
