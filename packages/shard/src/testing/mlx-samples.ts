import { E2M1, E4M3 } from '@airllm/kernels';
import type { QuantSample } from './gptq-samples';
import { packCodes, wordTensor } from './pack-codes';
import { floatTensor, SampleNumbers, type SampleTensor } from './raw-sample';

export interface AffineSample {
  readonly shape: readonly [rows: number, columns: number];
  readonly bits: number;
  readonly group: number;
  /** Matrices stacked in one tensor. */
  readonly experts?: number;
  readonly module?: string;
  readonly quantisation?: Record<string, unknown>;
}

const MODULE = 'model.layers.0.mlp.up_proj';

/** MLX's affine codes, from the definition: w = code · scale + bias. The weights of stacked matrices follow each other. */
export function affineSample(options: AffineSample, seed = 1): QuantSample {
  const { shape, bits, group, experts, module = MODULE, quantisation } = options;
  const [rows, columns] = shape;
  const numbers = new SampleNumbers(1000 * seed + 10 * columns + bits);
  const all = rows * (experts ?? 1);
  const groups = columns / group;
  const codes = Array.from({ length: all * columns }, () => numbers.next(2 ** bits));
  const scales = numbers.scales(all * groups);
  const biases = numbers.scales(all * groups).map((number) => -8 * number);
  const weights = Float32Array.from(codes, (code, i) => {
    const at = Math.floor(i / columns) * groups + Math.floor((i % columns) / group);
    return Math.fround(code * scales[at]!) + biases[at]!;
  });
  const lines = Array.from({ length: all }, (_, n) => packCodes(codes.slice(n * columns, (n + 1) * columns), bits));
  const stack = experts === undefined ? [] : [experts];
  return {
    weights,
    sample: {
      quantisation: quantisation ?? { group_size: group, bits, mode: 'affine' },
      metadata: { format: 'mlx' },
      tensors: {
        [`${module}.weight`]: wordTensor([...stack, rows, lines[0]!.length], lines, 'U32'),
        [`${module}.scales`]: floatTensor([...stack, rows, groups], scales, 'BF16'),
        [`${module}.biases`]: floatTensor([...stack, rows, groups], biases, 'BF16'),
        [`${module}.bias`]: floatTensor([...stack, rows], numbers.scales(all)),
      },
    },
  };
}

export interface FloatSample {
  readonly shape: readonly [rows: number, columns: number];
  readonly mode: 'nvfp4' | 'mxfp4' | 'mxfp8';
  /** NVFP4's: the largest weight. */
  readonly global?: number;
}

/** MLX's float codes: E2M1 or E4M3, with a byte of scale per group: E4M3 bits, or powers of two. */
export function floatSample({ shape, mode, global }: FloatSample): QuantSample {
  const [rows, columns] = shape;
  const numbers = new SampleNumbers(columns);
  const bits = mode === 'mxfp8' ? 8 : 4;
  const groups = columns / (mode === 'nvfp4' ? 16 : 32);
  // Of 8 bits, only what is below the largest number: 0x7f and 0xff are NaN.
  const codes = Array.from({ length: rows * columns }, () => numbers.next(bits === 8 ? 0x7f : 16));
  const scales = numbers.bytes(rows * groups, 100).map((byte) => (mode === 'nvfp4' ? byte : 80 + byte));
  const factor = global === undefined ? 1 : Math.fround(global / (6 * 448));
  const weights = Float32Array.from(codes, (code, i) => {
    const byte = scales[Math.floor((i * groups) / columns)]!;
    const scale = mode === 'nvfp4' ? Math.fround(E4M3[byte]! * factor) : 2 ** (byte - 127);
    return (bits === 8 ? E4M3 : E2M1)[code]! * scale;
  });
  const lines = Array.from({ length: rows }, (_, n) => packCodes(codes.slice(n * columns, (n + 1) * columns), bits));
  const scaleTensor: SampleTensor = { dtype: 'U8', shape: [rows, groups], data: scales };
  return {
    weights,
    sample: {
      quantisation: { mode },
      tensors: {
        [`${MODULE}.weight`]: wordTensor([rows, lines[0]!.length], lines, 'U32'),
        [`${MODULE}.scales`]: scaleTensor,
        ...(global !== undefined && { [`${MODULE}.global_scale`]: floatTensor([], Float32Array.of(global)) }),
      },
    },
  };
}
