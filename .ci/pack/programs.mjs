// Programs run in a consumer's folder, as ESM and as CJS.
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { capture } from '../toolchain.mjs';
import { foreignEnvironment } from './consumer.mjs';

async function program(dir, file, source, args = [], env = foreignEnvironment()) {
  writeFileSync(path.join(dir, file), source);
  const result = await capture(process.execPath, [file, ...args], { cwd: dir, env });
  if (result.status !== 0)
    throw new Error(`node ${file} ended with ${result.status}\n${result.stdout}${result.stderr}`);
  return result;
}

/** Importing works, says nothing, and both module systems see the same names. */
export async function checkImports(dir, names) {
  for (const name of names) {
    const id = path.basename(name);
    const print =
      "console.log(Object.keys(m).filter((k) => k !== 'default' && k !== '__esModule').sort().join('\\n'));";
    const esm = await program(dir, `${id}.mjs`, `import * as m from '${name}'; ${print}`);
    const cjs = await program(dir, `${id}.cjs`, `const m = require('${name}'); ${print}`);
    if (esm.stdout !== cjs.stdout) throw new Error(`${name}: ESM exports\n${esm.stdout}CJS exports\n${cjs.stdout}`);
    if (esm.stdout.trim() === '') throw new Error(`${name} exports nothing`);
    if (esm.stderr || cjs.stderr) throw new Error(`${name}: importing it prints\n${esm.stderr}${cjs.stderr}`);
  }
}

/** Both copies load side by side, and each knows the errors the other throws. */
export async function checkTwoCopies(dir, names) {
  const source = `
    import { createRequire } from 'node:module';
    const require = createRequire(import.meta.url);
    let checked = 0;
    for (const name of ${JSON.stringify(names)}) {
      const esm = await import(name);
      const cjs = require(name);
      for (const key of Object.keys(esm)) {
        const isError = typeof esm[key] === 'function' && esm[key].prototype instanceof Error;
        if (!isError) continue;
        for (const [from, to] of [[esm, cjs], [cjs, esm]]) {
          if (typeof to[key].isInstance !== 'function') throw new Error(name + ': ' + key + ' has no isInstance');
          if (to[key].isInstance(new Error('plain'))) throw new Error(name + ': ' + key + '.isInstance takes any error');
          const made = make(from[key]);
          if (!made) continue;
          if (!to[key].isInstance(made)) throw new Error(name + ': ' + key + '.isInstance does not know the other copy');
          checked++;
        }
      }
    }
    // The facts an error wants differ by class: any readable value will do, and a class that wants more is passed over.
    function make(E) {
      const value = (_, key) => (key === Symbol.toPrimitive ? () => 'x' : key === 'cause' ? undefined : 'x');
      try {
        return new E(new Proxy({}, { get: value }), 'message');
      } catch {
        return undefined;
      }
    }
    console.log(checked + ' times recognised');`;
  const { stdout } = await program(dir, 'two-copies.mjs', source);
  return stdout.trim();
}

/** Programs that use a package alone; what its worker threads and foreign calls need must be in the tarball. */
const bodies = {
  '@airllm/loader': `
    const { createHash } = await import('node:crypto');
    const { tensors } = await openCheckpoint(process.argv[2]);
    const hash = createHash('sha256');
    for (const tensor of tensors.values()) {
      const host = await tensor.materialize();
      hash.update(tensor.name).update(host.bytes());
      host.dispose();
    }
    console.log(tensors.size + ' tensors ' + hash.digest('hex'));`,
  '@airllm/shard': `
    const target = process.argv[2] + '-split-' + KIND;
    const { filesWritten } = await splitCheckpoint(process.argv[2], target);
    const { tensors } = await verifyShards(target);
    console.log(filesWritten + ' files, ' + tensors + ' tensors');`,
};
const faces = { '@airllm/loader': 'openCheckpoint', '@airllm/shard': 'splitCheckpoint, verifyShards' };

export const canUse = (name) => name in bodies;

/** Runs a package's program from ESM and from CJS; both must print the same. */
export async function checkUse(dir, name, model) {
  const esm = `import { ${faces[name]} } from '${name}';\nconst KIND = 'esm';${bodies[name]}`;
  const cjs = `const { ${faces[name]} } = require('${name}');\nconst KIND = 'cjs';\n(async () => {${bodies[name]}\n})();`;
  const first = await program(dir, 'use.mjs', esm, [model]);
  const second = await program(dir, 'use.cjs', cjs, [model]);
  if (first.stdout === '' || first.stdout !== second.stdout) {
    throw new Error(`ESM printed\n${first.stdout}CJS printed\n${second.stdout}`);
  }
  return first.stdout.trim().slice(0, 40);
}

/** Generates greedily from fixed ids; PATH holds Node and nothing that compiles. */
export async function generate(dir, model, kind) {
  const bin = path.join(dir, 'only-node');
  mkdirSync(bin, { recursive: true });
  try {
    symlinkSync(process.execPath, path.join(bin, path.basename(process.execPath)));
  } catch {} // there already, or links are not allowed; Node is started by its full path anyway
  const env = { ...foreignEnvironment(), PATH: bin };
  for (const name of Object.keys(env))
    if (/^(path|cc|cxx|zig.*|airllm_.*)$/i.test(name) && name !== 'PATH') delete env[name];

  const body = `
    const model = await AutoModel.fromPretrained(process.argv[2]);
    const { ids } = await model.generate({ ids: [1, 5, 9], maxNewTokens: 16, doSample: false });
    console.log(JSON.stringify({ ids: Array.from(ids), executor: model.info.executor }));
    await model.dispose();`;
  const source =
    kind === 'esm'
      ? `import { AutoModel } from '@airllm/runtime';\n${body}`
      : `const { AutoModel } = require('@airllm/runtime');\n(async () => {${body}\n})();`;
  const { stdout, stderr } = await program(dir, `generate.${kind === 'esm' ? 'mjs' : 'cjs'}`, source, [model], env);
  return { ...JSON.parse(stdout), stderr };
}

export function compareGenerations([first, ...others], executor) {
  // Fewer than 16 only where the model ended by itself; the fixture has no end token among its greedy ones.
  if (first.ids.length !== 16) throw new Error(`expected 16 new ids, found ${JSON.stringify(first.ids)}`);
  for (const other of others) {
    if (String(other.ids) !== String(first.ids)) throw new Error(`ids differ: ${first.ids} and ${other.ids}`);
  }
  for (const { executor: found } of executor ? [first, ...others] : []) {
    if (found !== executor) throw new Error(`executor is ${found}, expected ${executor}`);
  }
}

export async function runHelp(dir) {
  const { bin } = JSON.parse(readFileSync(path.join(dir, 'node_modules/@airllm/cli/package.json'), 'utf8'));
  if (!bin?.airllm) throw new Error('@airllm/cli has no bin named airllm');
  const file = path.join(dir, 'node_modules/@airllm/cli', bin.airllm);
  const { status, stdout, stderr } = await capture(process.execPath, [file, '--help'], {
    cwd: dir,
    env: foreignEnvironment(),
  });
  if (status !== 0 || !/\brun\b/.test(stdout)) throw new Error(`exit code ${status}\n${stdout}${stderr}`);
}
