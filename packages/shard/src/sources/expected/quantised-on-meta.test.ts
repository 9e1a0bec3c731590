import { readFileSync } from 'node:fs';
import path from 'node:path';
import { PackedTensor } from '@airllm/kernels';
import { openCheckpoint } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { sharedFolder } from '../../testing/shared';
import { convertedTensor } from '../converted';
import { openSource } from '../open-source';
import { quantisedOnMeta } from './quantised-on-meta';

const golden = sharedFolder('golden-quant');
const giants = sharedFolder('giants');

const readJson = (file: string): Record<string, unknown> => JSON.parse(readFileSync(file, 'utf8'));

/** What no name and no configuration tells: the dtype of scales. */
const SCALES: Readonly<Record<string, string>> = {
  'fp8-block-ue8m0': 'powers of two are stored as F32, F8_E8M0 or U8',
};

/** What no configuration tells without the names of an index: see each. */
const NAMES: Readonly<Record<string, string>> = {
  'mlx-mixed': 'layers that stay dense need no entry',
  'gptq-dynamic': 'its rules are regular expressions of an untrusted file',
};

const CASES = [
  'auto-round-4bit',
  'awq-gemm-4bit-g128',
  'awq-gemm-4bit-g32-skip',
  'bnb-fp4',
  'bnb-int8',
  'bnb-nf4',
  'bnb-nf4-bf16-storage',
  'bnb-nf4-nested',
  'bnb-nf4-straddle',
  'ct-fp8-block-ragged',
  'ct-fp8-channel',
  'ct-fp8-tensor',
  'ct-mxfp4',
  'ct-mxfp8',
  'ct-nvfp4',
  'ct-w3a16-pack',
  'ct-w4a16-pack',
  'ct-w4a16-pack-asym',
  'ct-w8a16-pack-channel',
  'ct-w8a8-int',
  'fp8-autofp8',
  'fp8-block',
  'fp8-block-moe',
  'fp8-block-ragged',
  'fp8-block-ue8m0',
  'fp8-fbgemm',
  'fp8-tensor',
  'gptq-2bit-g64',
  'gptq-3bit',
  'gptq-4bit-asym',
  'gptq-4bit-desc_act',
  'gptq-4bit-g128',
  'gptq-8bit',
  'gptq-dynamic',
  'gptq-sym-mislabelled',
  'gptq_v2-4bit-asym',
  'hqq-4bit-g64',
  'mlx-3bit',
  'mlx-4bit-g64',
  'mlx-4bit-moe',
  'mlx-6bit',
  'mlx-8bit-tied',
  'mlx-mixed',
  'mlx-mxfp4',
  'mlx-mxfp8',
  'mlx-nvfp4',
  'modelopt-nvfp4',
  'mxfp4-gpt_oss',
  'torchao-fp8',
  'torchao-int8',
];

describe.skipIf(golden === undefined)('what is expected is what the files hold', () => {
  test.each(CASES.flatMap((name) => [[name, 'with its index'] as const, [name, 'from its configuration'] as const]))(
    '%s, %s',
    async (name, from) => {
      const dir = path.join(golden!, name);
      const config = readJson(path.join(dir, 'config.json'));
      const names = (await openCheckpoint(dir)).tensors.keys();
      const expected = quantisedOnMeta(config, from === 'with its index' ? { names } : {});
      const found = new Map<string, unknown>();
      const wanted = new Map<string, unknown>();
      for (const source of (await openSource(dir)).tensors.values()) {
        const actual = convertedTensor(source);
        wanted.set(actual.name, PackedTensor.isInstance(actual) ? summary(actual) : 'dense');
        const guess = expected(actual.name, actual.shape);
        found.set(actual.name, guess === undefined ? 'dense' : summary(guess));
      }
      expect([...wanted.values()].some((value) => value !== 'dense')).toBe(true);
      const isExact = SCALES[name] === undefined && (from === 'with its index' || NAMES[name] === undefined);
      if (isExact) expect(found).toEqual(wanted);
      else expect(found).not.toEqual(wanted);
    },
  );
});

function summary({ shape, format, byteLength }: PackedTensor) {
  return { shape, format, byteLength };
}

describe.skipIf(giants === undefined)('models of which only names are here', () => {
  const model = (name: string) => {
    const dir = path.join(giants!, name);
    const index = readJson(path.join(dir, 'model.safetensors.index.json'));
    const names = Object.keys(index.weight_map as object);
    const total = (index.metadata as { total_size: number }).total_size;
    return { names, total, expected: quantisedOnMeta(readJson(path.join(dir, 'config.json')), { names }) };
  };

  /** Bytes of a Llama's tensors. */
  const llamaBytes = (
    shapes: Record<string, readonly number[]>,
    layers: number,
    expected: ReturnType<typeof quantisedOnMeta>,
  ) => {
    let bytes = 0;
    for (let layer = 0; layer < layers; layer++) {
      for (const [name, shape] of Object.entries(shapes)) {
        const tensor = expected(`model.layers.${layer}.${name}.weight`, shape);
        if (tensor === undefined) throw new Error(name);
        bytes += tensor.byteLength;
      }
    }
    return bytes;
  };

  test('Llama 3.1 405B in NF4: its bytes are those of the index', () => {
    const { total, expected } = model('Llama-3.1-405B-Instruct-bnb-4bit');
    const shapes = {
      'self_attn.q_proj': [16384, 16384],
      'self_attn.k_proj': [1024, 16384],
      'self_attn.v_proj': [1024, 16384],
      'self_attn.o_proj': [16384, 16384],
      'mlp.gate_proj': [53248, 16384],
      'mlp.up_proj': [53248, 16384],
      'mlp.down_proj': [16384, 53248],
    };
    const dense = 2 * (2 * 128256 * 16384 + (2 * 126 + 1) * 16384);
    const bytes = llamaBytes(shapes, 126, expected) + dense;
    // What describes each matrix: nothing that is read twice.
    expect(total - bytes).toBeGreaterThan(0);
    expect(total - bytes).toBeLessThan(126 * 7 * 256);
    expect(expected('lm_head.weight', [128256, 16384])).toBeUndefined();
    expect(expected('model.layers.0.input_layernorm.weight', [16384])).toBeUndefined();
  });

  test('Llama 3.1 8B in int8', () => {
    const { total, expected } = model('Llama-3.1-8B-Instruct-bnb');
    const shapes = {
      'self_attn.q_proj': [4096, 4096],
      'self_attn.k_proj': [1024, 4096],
      'self_attn.v_proj': [1024, 4096],
      'self_attn.o_proj': [4096, 4096],
      'mlp.gate_proj': [14336, 4096],
      'mlp.up_proj': [14336, 4096],
      'mlp.down_proj': [4096, 14336],
    };
    const dense = 2 * (2 * 128256 * 4096 + (2 * 32 + 1) * 4096);
    // A marker of the layout each; the factor of the scales is in no file.
    const [marker, factor] = [1, 4];
    expect(total - llamaBytes(shapes, 32, expected) - dense).toBe(32 * 7 * (marker - factor));
  });

  test('gpt-oss 20B: experts, under their own names', () => {
    const { expected } = model('gpt-oss-20b');
    const tensor = expected('model.layers.3.mlp.experts.31.gate_up_proj.weight', [5760, 2880])!;
    expect(tensor.components.codes!.shape).toEqual([5760, 1440]);
    const other = expected('model.layers.4.mlp.experts.0.gate_up_proj.weight', [5760, 2880])!;
    expect(other.components.constants!.literal).toBe(tensor.components.constants!.literal);
    expect(expected('model.layers.3.mlp.router.weight', [32, 2880])).toBeUndefined();
  });
});

describe('modules that a configuration leaves out', () => {
  const expected = (skipped: readonly unknown[]) => {
    const quantisation = { quant_method: 'fp8', weight_block_size: [128, 128], modules_to_not_convert: skipped };
    const ask = quantisedOnMeta({ quantization_config: quantisation });
    return (module: string) => ask(`${module}.weight`, [256, 256]) !== undefined;
  };
  const MODULE = 'model.layers.10.mlp.down_proj';

  test.each([
    'model.layers.10.mlp.down_proj',
    'model.layers.10',
    'mlp',
    'down_proj',
    'model.layers.*.mlp',
    '*down_proj',
    're:.*down_proj$',
    're:^model\\.layers\\.10\\..*',
  ])('%s', (entry) => {
    expect(expected([entry])(MODULE)).toBe(false);
  });

  test.each(['model.layers.1', 'down', 'proj', 'model.layers.*.self_attn', 'lm_head', 're:(a+)+$', 7, null])(
    'not %s',
    (entry) => {
      expect(expected([entry])(MODULE)).toBe(true);
    },
  );

  test('what is in no block, routers, and what is no matrix', () => {
    const ask = expected([]);
    expect([ask('lm_head'), ask('model.embed_tokens'), ask('model.layers.0.mlp.gate')]).toEqual([false, false, false]);
    expect(ask('model.layers.0.mlp.gate_proj')).toBe(true);
    const quantised = quantisedOnMeta({ quantization_config: { quant_method: 'fp8' } });
    expect(quantised('model.layers.0.mlp.up_proj.bias', [256])).toBeUndefined();
  });

  test('methods that are unknown, or none', () => {
    const unknown = quantisedOnMeta({ quantization_config: { quant_method: 'quip' } });
    expect(unknown(`${MODULE}.weight`, [256, 256])).toBeUndefined();
    expect(quantisedOnMeta({})(`${MODULE}.weight`, [256, 256])).toBeUndefined();
  });
});

const NAME = 'model.layers.0.mlp.up_proj.weight';

test('whatever a configuration holds, it makes sense or tells nothing', () => {
  const odd: readonly unknown[] = [
    0,
    -1,
    0.5,
    2 ** 53,
    null,
    true,
    '',
    'int8',
    [],
    [[]],
    {},
    { toString: 1, valueOf: 1 },
    { default: null },
  ];
  const keys = [
    'config_groups',
    'quant_config',
    'mode',
    'model.layers.0.mlp.up_proj',
    'weight_block_size',
    'bits',
    'group_size',
    'quant_type',
    'quant_algo',
    'packing_format',
    'sym',
    'ignore',
  ];
  const methods = [
    undefined,
    'awq',
    'auto-round',
    'bitsandbytes',
    'compressed-tensors',
    'hqq',
    'fbgemm_fp8',
    'fp8',
    'gptq',
    'modelopt',
    'mxfp4',
    'torchao',
    odd[11],
  ];
  for (const quant_method of methods) {
    for (const key of keys) {
      for (const value of odd) {
        const config = { dtype: value, quantization_config: { quant_method, bits: 4, group_size: 32, [key]: value } };
        quantisedOnMeta(config)(NAME, [48, 80]);
      }
    }
  }
  for (const weights of odd) {
    const config_groups = { a: weights, b: { targets: weights, weights }, c: { targets: ['Linear'], weights } };
    quantisedOnMeta({ quantization_config: { quant_method: 'compressed-tensors', config_groups } })(NAME, [48, 80]);
  }
  for (const value of odd) expect(quantisedOnMeta({ quantization_config: value })('a.weight', [2, 2])).toBeUndefined();
});
