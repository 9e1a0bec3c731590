// Vitest on this machine, the tests' process on the emulated one; check.mjs starts it.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { mergeConfig } from 'vitest/config';
import { ForksPoolWorker } from 'vitest/node';
import base from '../../../../vitest.config.ts';

const arm = JSON.parse(process.env.AIRLLM_ARM64);

class EmulatedWorker extends ForksPoolWorker {
  name = 'arm64';

  async start() {
    const worker = fileURLToPath(new URL('./worker.mjs', import.meta.url));
    this._fork = fork(worker, [this.entrypoint], {
      env: { ...this.env, ...arm.env },
      execPath: arm.command,
      execArgv: [...arm.args, ...this.execArgv],
      stdio: 'pipe',
      serialization: 'advanced',
    });
    // What follows may take only a minute, of which loading vitest would be the most.
    await Promise.race([once(this._fork, 'message'), once(this._fork, 'exit').then(ended)]);
    await super.start();
  }
}

function ended([code, signal]) {
  throw new Error(`Node for ARM ended before it ran a test: ${signal ?? `exit code ${code}`}`);
}

const minutes = 60_000;

export default mergeConfig(base, {
  test: {
    pool: { name: 'arm64', createPoolWorker: (options) => new EmulatedWorker(options) },
    // One process for all files: starting takes long there.
    isolate: false,
    fileParallelism: false,
    testTimeout: 30 * minutes,
    hookTimeout: 30 * minutes,
  },
});
