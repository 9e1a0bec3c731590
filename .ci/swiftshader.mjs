// A GPU for machines without one: SwiftShader, a Vulkan device on the CPU, from npm's @sparticuz/chromium.
//   node .ci/swiftshader.mjs command [args]     unpacks it, and runs the command with it as the GPU
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { brotliDecompressSync } from 'node:zlib';

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');

/**
 * Unpacks SwiftShader once, and returns the environment in which a process must be started to find it; undefined where
 * the package is absent, or has nothing for this platform.
 *
 * @returns {{ LD_LIBRARY_PATH: string, VK_ICD_FILENAMES: string, XDG_RUNTIME_DIR: string } | undefined}
 */
export function softwareGpu() {
  if (process.platform !== 'linux' || process.arch !== 'x64') return undefined;
  const archive = findArchive();
  if (archive === undefined) return undefined;
  const dir = path.join(root, 'node_modules', '.cache', 'airllm-swiftshader');
  const driver = path.join(dir, 'driver.json');
  if (!existsSync(driver)) unpack(archive, dir);
  return { LD_LIBRARY_PATH: dir, VK_ICD_FILENAMES: driver, XDG_RUNTIME_DIR: dir };
}

function findArchive() {
  try {
    const kernels = createRequire(path.join(root, 'packages', 'kernels', 'package.json'));
    const entry = kernels.resolve('@sparticuz/chromium');
    const bin = path.join(entry.slice(0, entry.lastIndexOf(`chromium${path.sep}`) + 'chromium'.length), 'bin');
    const archive = path.join(bin, 'swiftshader.tar.br');
    return existsSync(archive) ? archive : undefined;
  } catch {
    return undefined;
  }
}

/** Into a folder of its own first: several tests may do this at once. */
function unpack(archive, dir) {
  const own = `${dir}.${process.pid}`;
  mkdirSync(own, { recursive: true });
  execFileSync('tar', ['-xf', '-', '-C', own, 'libvk_swiftshader.so', 'libvulkan.so.1'], {
    input: brotliDecompressSync(readFileSync(archive)),
  });
  const library_path = path.join(dir, 'libvk_swiftshader.so');
  const driver = { file_format_version: '1.0.0', ICD: { library_path, api_version: '1.0.5' } };
  writeFileSync(path.join(own, 'driver.json'), JSON.stringify(driver));
  try {
    renameSync(own, dir);
  } catch (error) {
    rmSync(own, { recursive: true, force: true });
    if (!existsSync(path.join(dir, 'driver.json'))) throw error;
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(path.resolve(process.argv[1])).href) {
  const env = softwareGpu();
  const [command, ...args] = process.argv.slice(2);
  if (env === undefined || command === undefined) {
    console.error(env === undefined ? 'no SwiftShader here: @sparticuz/chromium is not installed' : 'no command');
    process.exit(2);
  }
  const { status } = spawnSync(command, args, { stdio: 'inherit', env: { ...process.env, ...env } });
  process.exit(status ?? 1);
}
