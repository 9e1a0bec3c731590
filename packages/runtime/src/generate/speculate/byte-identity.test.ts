import { createExecutor } from '@airllm/kernels';
import { openReader } from '@airllm/loader';
import { afterAll, describe, expect, test } from 'vitest';
import { openWeights } from '../../auto/weights/open-weights';
import { Engine } from '../../engine';
import { buildModel } from '../../models/registry';
import { planResidency } from '../../plan/residency';
import { fixedDrafts, Oracle } from '../../testing/fixed-drafts';
import { haveShared, shared } from '../../testing/shared';
import { temporaryFolder } from '../../testing/temporary';
import { generate } from '../generate';
import { Scheduler } from '../scheduler';
import type { GenerateOptions } from '../types';
import { ModelDrafter } from './model-drafter';
import { PromptLookup } from './prompt-lookup';
import type { Speculator } from './speculation';

const CONTEXT = 96;
/** Longer than the windows of the small models, and it repeats itself. */
const PROMPT = Array.from({ length: 40 }, (_, i) => 3 + ((i * i) % 13));

interface Case {
  readonly name: string;
  readonly path: string;
  readonly newTokens?: number;
  /** Changes config.json. */
  readonly config?: (config: Record<string, unknown>) => Record<string, unknown>;
}

/** Sliding windows in some layers or in all, RoPE by length, positions from a table, experts. */
const CASES: readonly Case[] = [
  ...['mistral', 'gemma3_text', 'gpt_oss', 'llama-mha-dynamic', 'gpt2'].map((name) => ({
    name,
    path: `golden/${name}`,
  })),
  { name: 'phi3 whose rotations change in the middle of the text', path: 'golden/phi3', config: switching },
  ...['stories260K', 'stories15M', 'stories15M-mixtral', 'minimind2-small'].map((name) => ({
    name,
    path: `models/${name}`,
    newTokens: 20,
  })),
];

const METHODS: readonly GenerateOptions[] = [
  { doSample: false, repetitionPenalty: 1.3, frequencyPenalty: 0.7, presencePenalty: 0.3 },
  { temperature: 0.9, topK: 40, topP: 0.95, repetitionPenalty: 1.1, seed: 11 },
];

function switching(config: Record<string, unknown>): Record<string, unknown> {
  const half = Number(config.hidden_size) / Number(config.num_attention_heads) / 2;
  const rope_scaling = { type: 'longrope', short_factor: Array(half).fill(1.1), long_factor: Array(half).fill(2.5) };
  return {
    ...config,
    rope_parameters: undefined,
    rope_theta: 10000,
    rope_scaling,
    original_max_position_embeddings: 64,
  };
}

function bytes({ buffer, byteOffset, byteLength }: Float32Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

const closing: (() => Promise<void>)[] = [];
afterAll(async () => {
  for (const close of closing.reverse()) await close();
});

async function open({ path, newTokens = CONTEXT - PROMPT.length, config: change = (config) => config }: Case) {
  const reader = await openReader({ kind: 'plain' });
  const executor = await createExecutor({ executor: 'auto' });
  const weights = await openWeights(shared(path), { cacheDir: temporaryFolder() });
  const model = buildModel(change(weights.config ?? {}), weights);
  const newEngine = (maxRows: number) => {
    const options = { processBytes: 0, contextLength: CONTEXT, readAlignment: reader.alignment, maxRows };
    const engine = new Engine({ model, plan: planResidency(model, options), executor, reader });
    closing.push(() => engine.dispose());
    return engine;
  };
  closing.push(
    () => reader.close(),
    () => executor.dispose(),
  );
  const engine = newEngine(64);
  const scheduler = new Scheduler(engine);
  const run = (options: GenerateOptions, speculator?: Speculator) => {
    const session = { engine, scheduler, speculator, contextLength: CONTEXT, tokenizer: null, chatTemplate: null };
    const request = { ids: PROMPT, maxNewTokens: newTokens, returnLogits: true, ...options };
    return generate({ ...session, endTokens: new Set(), defaults: {} }, request);
  };
  const itself = () => {
    const engine = newEngine(32);
    return new ModelDrafter({ name: 'self', engine, vocabSize: model.config.vocabSize, dispose: async () => {} });
  };
  return { run, itself };
}

describe.skipIf(!haveShared())('what is drafted changes no byte', () => {
  test.each(CASES)('$name', async (each) => {
    const { run, itself } = await open(each);
    for (const method of METHODS) {
      const plain = await run(method);
      expect(plain.stats).toMatchObject({ passes: plain.ids.length, speculation: null });
      const text = [...PROMPT, ...plain.ids];
      const drafters = [
        fixedDrafts(new PromptLookup(), 5),
        fixedDrafts(new Oracle(text, 4), 7),
        fixedDrafts(new Oracle(text, 1000), 15),
        fixedDrafts(itself(), 4),
      ];
      for (const [d, drafter] of drafters.entries()) {
        const { ids, logits, stats } = await run(method, drafter);
        expect(ids).toEqual(plain.ids);
        // Millions of numbers: compared as bytes.
        expect(logits!.every((row, i) => bytes(row).equals(bytes(plain.logits![i]!)))).toBe(true);
        const { drafted, accepted } = stats.speculation!;
        expect(stats.passes + accepted).toBeGreaterThanOrEqual(ids.length);
        expect(accepted).toBeLessThanOrEqual(drafted);
        if (d === 2) expect(stats.tokensPerPass).toBeGreaterThan(4);
        // The same model draws the same tokens, until its rotations change.
        if (d === 3 && each.config === undefined) expect(accepted).toBe(drafted);
      }
    }
  });
});
