// Runs the library for 64-bit ARM in QEMU: the tests of src/native on NEON, or with --models the conformance of whole
// models with transformers.
//   node native/arm64/check.mjs                               all tests of src/native
//   node native/arm64/check.mjs src/native/math.test.ts       some
//   node native/arm64/check.mjs --cpu max --models DIR        models; @airllm/conformance and what it needs are built
// By default the CPU is the oldest that QEMU knows: an instruction that not every ARM has is an error there.
// Where QEMU is not installed it says so and succeeds.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { emulation, missing } from './emulation.mjs';

const kernels = fileURLToPath(new URL('../..', import.meta.url));

const { values: options, positionals: tests } = parseArgs({
  options: {
    cpu: { type: 'string', default: 'cortex-a53' },
    sysroot: { type: 'string' },
    models: { type: 'string', multiple: true },
  },
  allowPositionals: true,
});

const reason = missing(options.sysroot);
if (reason === undefined) check();
else console.log(`skipped: nothing was run on ARM, ${reason}`);

function check() {
  run(process.execPath, [path.join(kernels, 'native', 'build.mjs'), '--target', 'linux-arm64']);
  const arm = emulation(options);
  console.log(`64-bit ARM in QEMU, ${options.cpu}`);
  if (options.models === undefined) {
    const config = path.join(kernels, 'native', 'arm64', 'vitest.config.mjs');
    const files = tests.length > 0 ? tests : ['src/native'];
    const vitest = ['exec', 'vitest', 'run', '--config', config, '--root', kernels, ...files];
    run('pnpm', vitest, { AIRLLM_ARM64: JSON.stringify(arm) });
  } else {
    const conformance = path.join(kernels, '..', '..', 'apps', 'conformance', 'dist', 'bin.js');
    const models = options.models.map((folder) => path.resolve(process.env.INIT_CWD ?? '.', folder));
    run(arm.command, [...arm.args, conformance, '--executor', 'native', ...models], arm.env);
  }
}

/** Ends this process with the command's status where that is an error. */
function run(command, args, env = {}) {
  const options = { cwd: kernels, stdio: 'inherit', env: { ...process.env, ...env } };
  const { status, error } = spawnSync(command, args, options);
  if (error !== undefined) throw error;
  if (status !== 0) process.exit(status ?? 1);
}
