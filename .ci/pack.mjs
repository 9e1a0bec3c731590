// Checks the packages as users get them: packs each one, looks into the tarballs, installs them with npm and with pnpm
// in folders whose path has a space and a `#`, imports them from ESM and CJS, compiles against their types, and
// generates text with the packed native library while no compiler is on PATH.
//   node .ci/pack.mjs [--quick] [--keep]     --quick: one npm install only; --keep: leave the folders for a look
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createChecks } from './pack/checks.mjs';
import { folderSize, installWithNpm, installWithPnpm } from './pack/consumer.mjs';
import {
  canUse,
  checkImports,
  checkTwoCopies,
  checkUse,
  compareGenerations,
  generate,
  runHelp,
} from './pack/programs.mjs';
import { checkContents, closure, lint, packAll, packRefusesEmpty, platform, platformFolder } from './pack/tarballs.mjs';
import { checkReadmePrograms, checkTypes } from './pack/types.mjs';
import { install, pnpm, root } from './toolchain.mjs';

const quick = process.argv.includes('--quick');
const keep = process.argv.includes('--keep');
const packages = ['loader', 'kernels', 'shard', 'runtime', 'cli'].map((name) => `@airllm/${name}`);
const shardLimit = 25e6;

await install();
const work = mkdtempSync(path.join(os.tmpdir(), 'airllm-pack-'));
const place = (name) => {
  const dir = path.join(work, 'a folder #1', name);
  mkdirSync(dir, { recursive: true });
  return dir;
};
const { check, summary } = createChecks();

try {
  const built = await check('build', async () => {
    const status = await pnpm(['exec', 'turbo', 'run', 'build'], { output: 'on failure' });
    if (status !== 0) throw new Error(`turbo run build ended with ${status}`);
  });
  // npm reads `#` in the path of a tarball as the start of a fragment, so these lie in a plain folder.
  const tarballs = built && (await check('pack', () => packAll(packages, path.join(work, 'tarballs'))));
  if (tarballs) await checkTarballs(tarballs);
} finally {
  if (keep) console.error(`left in ${work}`);
  else rmSync(work, { recursive: true, force: true, maxRetries: 3 });
}
process.exitCode = summary();

async function checkTarballs(tarballs) {
  for (const [name, file] of tarballs) {
    await check(`${name}: contents`, () => checkContents(name, file));
    if (packages.includes(name)) await check(`${name}: publint, types resolve`, () => lint(file, { attw: !quick }));
  }
  await check('pack refuses a platform package without a library', () => packRefusesEmpty(path.join(work, 'empty')));

  const together = place('npm');
  if (await check('npm install of all', () => installWithNpm(together, packages, tarballs))) {
    await checkInstalled('npm', together, packages);
    await check('types: every export, strictly, node16 and bundler', () => checkTypes(together, packages));
    await check('types: the programs in the READMEs', () => checkReadmePrograms(together, packages));
    await checkGeneration('npm', together, tarballs);
    await check('airllm --help', () => runHelp(together));
  }
  if (quick) return;

  const withPnpm = place('pnpm');
  if (await check('pnpm add of all', () => installWithPnpm(withPnpm, packages, tarballs))) {
    await checkInstalled('pnpm', withPnpm, packages);
    await checkGeneration('pnpm', withPnpm, tarballs);
  }
  for (const name of packages) {
    const dir = place(`npm-${path.basename(name)}`);
    if (await check(`npm install ${name} alone`, () => installWithNpm(dir, [name], tarballs))) {
      await checkInstalled(`${name} alone, npm`, dir, [name]);
      if (canUse(name)) await check(`${name} alone, npm: used from ESM and CJS`, () => useAlone(dir, name));
      if (name === '@airllm/shard') await check('@airllm/shard is small', () => checkShardSize(dir));
    }
    const other = place(`pnpm-${path.basename(name)}`);
    if (await check(`pnpm add ${name} alone`, () => installWithPnpm(other, [name], tarballs))) {
      await checkInstalled(`${name} alone, pnpm`, other, [name]);
    }
  }
}

async function checkInstalled(label, dir, names) {
  await check(`${label}: ESM and CJS export the same names`, () => checkImports(dir, names));
  await check(`${label}: ESM and CJS copies in one process`, () => checkTwoCopies(dir, names));
}

/** Copied next to the consumer, so that the model's path has the space and the `#` too. */
async function checkGeneration(label, dir, tarballs) {
  const model = path.join(dir, 'model');
  const native = tarballs.has(`@airllm/kernels-${platform}`);
  const expected = native ? 'native' : 'reference';
  const results = await check(
    `${label}: 16 tokens from ESM and CJS, no compiler on PATH, executor ${expected}`,
    async () => {
      cpSync(fixture(), model, { recursive: true });
      const results = [await generate(dir, model, 'esm'), await generate(dir, model, 'cjs')];
      compareGenerations(results, expected);
      return results;
    },
  );
  // Where pnpm puts a platform package is its own affair; npm's place is known, so there it can be taken away.
  const library = path.join(dir, 'node_modules/@airllm', `kernels-${platform}`);
  if (!results || !native || label !== 'npm') return;
  await check('npm: without the platform package, executor reference and one line on stderr', async () => {
    renameSync(library, `${dir}/hidden`);
    try {
      const without = await generate(dir, model, 'esm');
      compareGenerations([results[0], without], undefined);
      if (without.executor !== 'reference') throw new Error(`executor is ${without.executor}, expected reference`);
      const lines = without.stderr.split('\n').filter(Boolean);
      if (lines.length !== 1) throw new Error(`expected one line on stderr, found ${lines.length}:\n${without.stderr}`);
    } finally {
      renameSync(`${dir}/hidden`, library);
    }
  });
}

/** A committed tiny checkpoint; a llama, as every executor has had that one first. */
function fixture() {
  const parent = path.join(root, 'apps/conformance/fixtures');
  const names = existsSync(parent) ? readdirSync(parent).sort() : [];
  const usable = names.filter((name) => existsSync(path.join(parent, name, 'config.json')));
  const name = usable.find((each) => each.startsWith('llama')) ?? usable[0];
  if (!name) throw new Error(`no checkpoint in ${parent} (looked for <name>/config.json)`);
  return path.join(parent, name);
}

function useAlone(dir, name) {
  const model = path.join(dir, 'model');
  cpSync(fixture(), model, { recursive: true });
  return checkUse(dir, name, model);
}

function checkShardSize(dir) {
  const { bytes, packages: found } = folderSize(path.join(dir, 'node_modules'));
  if (found.some((name) => name.startsWith('onnxruntime'))) throw new Error('it brought onnxruntime');
  if (bytes >= shardLimit)
    throw new Error(`${(bytes / 1e6).toFixed(1)} MB installed, limit ${shardLimit / 1e6}: ${found}`);
  return `${(bytes / 1e6).toFixed(1)} MB (${closure('@airllm/shard').length} packages of ours)`;
}

if (!existsSync(platformFolder)) console.error(`note: no platform package for ${platform}, so no native library here`);
