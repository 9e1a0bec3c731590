import { describe, expect, it } from 'vitest';
import { blockCases } from '../conformance/block-cases';
import { GraphBuilder } from '../graph/builder';
import { BlockRunner } from '../testing/block-runner';
import { randomValues } from '../testing/random';
import { passRows } from '../testing/rows';
import { TestWeights } from '../testing/weights';
import { OnnxExecutor } from './onnx-executor';
import type { Provider } from './protocol';

const gpu = process.env.AIRLLM_TEST_GPU !== undefined;

// On a software GPU a step takes some 50 ms.
type Uploads = 'in each step' | 'once';
const RUNS: [Provider, number, Uploads][] = gpu
  ? [['webgpu', 60, 'in each step']]
  : [
      ['cpu', 500, 'in each step'],
      ['cpu', 500, 'once'],
    ];

describe.each(RUNS)('onnx %s', (provider, steps, uploads) => {
  it(`holds nothing more after ${steps} steps, with weights uploaded ${uploads}`, { timeout: 300_000 }, async () => {
    const executor = await OnnxExecutor.open({ provider, threads: 1 });
    const weights = new TestWeights('BF16');
    const b = new GraphBuilder(weights.source);
    blockCases.find(({ name }) => name === 'a llama layer')!.record(b);
    const block = b.build('layer');
    const x = randomValues('x', block.graph.values[block.graph.inputs.get('x')!]!.width);

    const sequence = async (length: number) => {
      const onDevice = { maxLength: length, stays: uploads === 'once' };
      const runner = new BlockRunner(executor, block, weights, { cut: 'whole', maxRows: 1, sequences: 1, onDevice });
      const held: unknown[] = [];
      for (let position = 0; position < length; position++) {
        await runner.pass({ rows: passRows([{ position }]), inputs: new Map([['x', x]]), ids: new Int32Array(1) });
        const { runs: _, ...now } = await executor.stats();
        if (position === 2 || position === length - 1) held.push({ ...now, used: executor.device.usedBytes });
      }
      runner.dispose();
      return held;
    };

    const [early, late] = await sequence(steps);
    expect(late).toEqual(early);
    expect(executor.device.usedBytes).toBe(0);
    // What was kept for the first sequence's buffers goes when others come.
    const [again] = await sequence(3);
    expect(again).toMatchObject({ sessions: (early as { sessions: number }).sessions });
    expect((again as { buffers: number }).buffers).toBeLessThanOrEqual((early as { buffers: number }).buffers);
    weights.dispose();
    await executor.dispose();
  });
});
