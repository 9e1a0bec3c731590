import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { softwareGpu } from '../../../../.ci/swiftshader.mjs';

const run = promisify(execFile);
const env = softwareGpu();

// The loader of Vulkan reads its environment when a process starts, so these tests are run in one of their own.
describe.skipIf(env === undefined)('onnx webgpu, on SwiftShader', () => {
  it('passes its tests', { timeout: 600_000 }, async () => {
    const folder = new URL('../..', import.meta.url);
    const config = ['--config', '../../vitest.config.ts', '--root', '.'];
    const files = [
      'src/onnx/webgpu-conformance.test.ts',
      'src/onnx/webgpu-buffers.test.ts',
      'src/onnx/webgpu-failures.test.ts',
      'src/onnx/own-attention.test.ts',
      'src/onnx/soak.test.ts',
      'src/onnx/onnx-device.test.ts',
    ];
    const vitest = new URL('../../../../node_modules/vitest/vitest.mjs', import.meta.url);
    const { stdout } = await run(process.execPath, [fileURLToPath(vitest), 'run', ...config, ...files], {
      cwd: folder,
      // Its counts are not those of the tests that npm test sums.
      env: { ...process.env, ...env, AIRLLM_TEST_GPU: 'swiftshader', AIRLLM_TEST_COUNTS: '' },
      maxBuffer: 2 ** 26,
    }).catch((error: { stdout: string; stderr: string }) => {
      throw new Error(`${error.stdout}\n${error.stderr}`);
    });
    expect(stdout).toMatch(/Tests .*\d+ passed/);
    expect(stdout).not.toMatch(/Tests .*skipped/);
  });
});
