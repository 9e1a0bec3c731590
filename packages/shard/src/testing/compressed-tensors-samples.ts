import type { QuantSample } from './gptq-samples';
import { packCodes, wordTensor } from './pack-codes';
import { floatTensor, SampleNumbers, type SampleTensor } from './raw-sample';

export interface PackedIntegersSample {
  readonly shape: readonly [rows: number, columns: number];
  readonly bits: number;
  /** Columns that share a scale; all of them by default. */
  readonly group?: number;
  /** One scale for all. */
  readonly perTensor?: boolean;
  /** As the releases before 2026 packed odd bits: no code in two words. */
  readonly wholeCodes?: boolean;
  /** How zero points are stored: packed along rows, as bytes, as bytes that are all 0; absent: none. */
  readonly zeros?: 'packed' | 'bytes' | 'none of them';
  /** Codes in bytes, `weight` instead of `weight_packed`. */
  readonly plain?: boolean;
  /** Group of each column. */
  readonly groupOf?: (column: number) => number;
  readonly scaleDType?: 'F32' | 'BF16';
}

/** A module `m` of integers as compressed-tensors writes it, from the definition: w = (code − zero) · scale, signed. */
export function packedIntegersSample(options: PackedIntegersSample, seed = 1): QuantSample {
  const { shape, bits, perTensor = false, wholeCodes, zeros, plain = false, groupOf, scaleDType = 'BF16' } = options;
  const [rows, columns] = shape;
  const { group = columns } = options;
  const numbers = new SampleNumbers(1000 * seed + 10 * columns + bits);
  const half = 2 ** (bits - 1);
  const groups = Math.ceil(columns / group);
  const count = perTensor ? 1 : rows * groups;
  const codes = Array.from({ length: rows * columns }, () => numbers.next(2 * half) - half);
  const zeroOf = Array.from({ length: count }, () =>
    zeros === undefined || zeros === 'none of them' ? 0 : numbers.next(2 * half) - half,
  );
  const scales = numbers.scales(count);
  const weights = new Float32Array(rows * columns);
  for (let n = 0; n < rows; n++) {
    for (let k = 0; k < columns; k++) {
      const at = perTensor ? 0 : n * groups + (groupOf ? groupOf(k) : Math.floor(k / group));
      weights[n * columns + k] = (codes[n * columns + k]! - zeroOf[at]!) * scales[at]!;
    }
  }
  const perWord = wholeCodes ? Math.floor(32 / bits) : undefined;
  const unsigned = (values: readonly number[]) => values.map((value) => value + half);
  const row = (n: number) => codes.slice(n * columns, (n + 1) * columns);
  const lines = Array.from({ length: rows }, (_, n) => packCodes(unsigned(row(n)), bits, perWord));
  const scaleShape = perTensor ? [1] : [rows, groups];
  const bytes = (values: readonly number[], shape: readonly number[]): SampleTensor => {
    return { dtype: 'I8', shape, data: Uint8Array.from(values) };
  };
  const zeroPoint = zeros === 'packed' ? packedZeros(unsigned(zeroOf), { rows, groups, bits, perWord }) : zeroOf;
  return {
    weights,
    sample: {
      quantisation: schemeConfig({
        num_bits: bits,
        type: 'int',
        strategy: perTensor ? 'tensor' : groups === 1 ? 'channel' : 'group',
        group_size: groups === 1 ? null : group,
        symmetric: zeros === undefined,
        actorder: groupOf ? 'group' : null,
      }),
      tensors: {
        ...(plain
          ? { 'm.weight': bytes(codes, shape) }
          : {
              'm.weight_packed': wordTensor([rows, lines[0]!.length], lines, 'I32'),
              'm.weight_shape': {
                dtype: 'I64',
                shape: [2],
                data: new Uint8Array(BigInt64Array.from(shape, BigInt).buffer),
              },
            }),
        'm.weight_scale': floatTensor(scaleShape, scales, scaleDType),
        ...(zeros !== undefined && {
          'm.weight_zero_point': Array.isArray(zeroPoint) ? bytes(zeroPoint, scaleShape) : (zeroPoint as SampleTensor),
        }),
        ...(groupOf && {
          'm.weight_g_idx': wordTensor([columns], [Uint32Array.from({ length: columns }, (_, k) => groupOf(k))], 'I32'),
        }),
        'm.bias': floatTensor([rows], numbers.scales(rows)),
        'm.input_scale': floatTensor([1], numbers.scales(1)),
      },
    },
  };
}

/** One configuration of one group, as llm-compressor writes it. */
export function schemeConfig(weights: Record<string, unknown>): Record<string, unknown> {
  return {
    quant_method: 'compressed-tensors',
    format: 'pack-quantized',
    ignore: ['lm_head', 're:.*gate$'],
    config_groups: { group_0: { targets: ['Linear'], weights, input_activations: null } },
  };
}

/** Along rows: word w of a group is beside word w of the others. */
function packedZeros(
  zeros: readonly number[],
  { rows, groups, bits, perWord }: { rows: number; groups: number; bits: number; perWord: number | undefined },
): SampleTensor {
  const columns = Array.from({ length: groups }, (_, g) =>
    packCodes(
      Array.from({ length: rows }, (_, n) => zeros[n * groups + g]!),
      bits,
      perWord,
    ),
  );
  const words = columns[0]!.length;
  const lines = Array.from({ length: words }, (_, w) => Uint32Array.from(columns, (column) => column[w]!));
  return wordTensor([words, groups], lines, 'I32');
}
