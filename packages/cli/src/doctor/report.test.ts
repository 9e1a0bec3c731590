import { expect, test } from 'vitest';
import { doctorText } from './report';

test('says what can drive the GPU, which of it is taken, and why the rest cannot', () => {
  const speeds = { uploadBytesPerSecond: 5e9, bytesPerSecond: 4e11, flopsPerSecond: 1e13, callSeconds: 1e-4 };
  const text = doctorText({
    machine: {
      drive: null,
      compute: [],
      steps: { callSeconds: 1e-5, opSeconds: 1e-6 },
      executor: { name: 'native', isa: 'avx2', threads: 4, computeDtype: 'float32' },
      memory: { total: 1e10, cgroup: null, constrained: null, available: 5e9 },
      device: null,
      gpus: {
        chosen: 'cuda',
        providers: [
          { provider: 'webgpu', name: 'webgpu', ...speeds, layerSeconds: 2e-3 },
          { provider: 'cuda', name: 'onnxruntime cuda', ...speeds, layerSeconds: 1e-3 },
          { provider: 'dml', reason: 'onnxruntime-node has cpu, webgpu on linux x64' },
        ],
      },
      cpu: 'a CPU',
      os: 'linux 6',
      node: '20.0.0',
    },
    model: null,
  });
  expect(text).toMatch(/^webgpu +5\.00 GB\/s of weights uploaded, 400 GB\/s computed with, \S+ ms a small layer$/m);
  expect(text).toMatch(/^cuda +5\.00 GB\/s .* a small layer: taken$/m);
  expect(text).toMatch(/^dml +not usable: onnxruntime-node has cpu, webgpu on linux x64$/m);
});
