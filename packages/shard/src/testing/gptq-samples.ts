import { floatTensor, type RawSample, SampleNumbers, type SampleTensor } from './raw-sample';

export interface GptqSampleOptions {
  /** `[N, K]`. */
  readonly shape: readonly [rows: number, columns: number];
  readonly bits: 2 | 3 | 4 | 8;
  readonly group: number;
  /** Group of each column; absent: no `g_idx`. */
  readonly groupOf?: (column: number) => number;
  readonly symmetric?: boolean;
  readonly version2?: boolean;
  readonly quantisation?: Record<string, unknown>;
}

/** What a GPTQ sample is, and the weights it means, `[N, K]`. */
export interface QuantSample {
  readonly sample: RawSample;
  readonly weights: Float32Array;
}

/** A module `m` as GPTQ writers pack it, from the definition: bit streams along K, zero points along N. */
export function gptqSample(options: GptqSampleOptions): QuantSample {
  const { shape, bits, group, groupOf, symmetric = false, version2 = false } = options;
  const [rows, columns] = shape;
  const numbers = new SampleNumbers(bits * 1000 + columns);
  const groups = Math.ceil(columns / group);
  const codes = Array.from({ length: rows * columns }, () => numbers.next(2 ** bits));
  const zeros = Array.from({ length: groups * rows }, () => (symmetric ? 2 ** (bits - 1) : numbers.next(2 ** bits)));
  const scales = numbers.scales(groups * rows);
  const weights = new Float32Array(rows * columns);
  for (let n = 0; n < rows; n++) {
    for (let k = 0; k < columns; k++) {
      const g = groupOf ? groupOf(k) : Math.floor(k / group);
      weights[n * columns + k] = (codes[n * columns + k]! - zeros[g * rows + n]!) * scales[g * rows + n]!;
    }
  }
  const qweight = new Uint32Array((columns * bits * rows) / 32);
  for (let n = 0; n < rows; n++) {
    const own = stream(codes.slice(n * columns, (n + 1) * columns), bits);
    own.forEach((word, i) => {
      qweight[i * rows + n] = word;
    });
  }
  const qzeros = Uint32Array.from(
    Array.from({ length: groups }, (_, g) => {
      const own = zeros.slice(g * rows, (g + 1) * rows);
      if (version2) return [...stream(own, bits)];
      // Three bits are packed one by one; the others have a one taken from each field of a word, with borrows.
      if (bits === 3)
        return [
          ...stream(
            own.map((zero) => (zero + 7) % 8),
            bits,
          ),
        ];
      return [...stream(own, bits)].map((word) => (word - ones(bits)) >>> 0);
    }).flat(),
  );
  const int32 = (shape: readonly number[], words: Uint32Array | Int32Array): SampleTensor => {
    return { dtype: 'I32', shape, data: new Uint8Array(words.buffer) };
  };
  return {
    weights,
    sample: {
      quantisation: {
        quant_method: 'gptq',
        bits,
        group_size: group,
        sym: symmetric,
        checkpoint_format: version2 ? 'gptq_v2' : 'gptq',
        ...options.quantisation,
      },
      tensors: {
        'm.qweight': int32([(columns * bits) / 32, rows], qweight),
        'm.qzeros': int32([groups, (rows * bits) / 32], qzeros),
        'm.scales': floatTensor([groups, rows], scales, 'BF16'),
        ...(groupOf && {
          'm.g_idx': int32(
            [columns],
            Int32Array.from({ length: columns }, (_, k) => groupOf(k)),
          ),
        }),
      },
    },
  };
}

/** A module `m` as AutoAWQ's GEMM layout has it. */
export function awqSample(shape: readonly [rows: number, columns: number], group: number): QuantSample {
  const [rows, columns] = shape;
  const numbers = new SampleNumbers(rows + columns);
  const groups = columns / group;
  const codes = Array.from({ length: columns * rows }, () => numbers.next(16));
  const zeros = Array.from({ length: groups * rows }, () => numbers.next(16));
  const scales = numbers.scales(groups * rows);
  // Word c of a row of `rows` codes: nibble i is code 8c + order[i].
  const words = (row: readonly number[]) =>
    Array.from({ length: rows / 8 }, (_, c) =>
      [0, 2, 4, 6, 1, 3, 5, 7].reduce((word, column, i) => (word | (row[8 * c + column]! << (4 * i))) >>> 0, 0),
    );
  const packed = (values: readonly number[], lines: number): SampleTensor => {
    const all = Array.from({ length: lines }, (_, i) => words(values.slice(i * rows, (i + 1) * rows))).flat();
    return { dtype: 'I32', shape: [lines, rows / 8], data: new Uint8Array(Uint32Array.from(all).buffer) };
  };
  const weights = new Float32Array(rows * columns);
  for (let n = 0; n < rows; n++) {
    for (let k = 0; k < columns; k++) {
      const at = Math.floor(k / group) * rows + n;
      weights[n * columns + k] = (codes[k * rows + n]! - zeros[at]!) * scales[at]!;
    }
  }
  return {
    weights,
    sample: {
      quantisation: { quant_method: 'awq', bits: 4, group_size: group, version: 'gemm', zero_point: true },
      tensors: {
        'm.qweight': packed(codes, columns),
        'm.qzeros': packed(zeros, groups),
        'm.scales': floatTensor([groups, rows], scales),
      },
    },
  };
}

/** Values of `bits` bits, one after the other from the lowest bit on. */
function stream(values: readonly number[], bits: number): Uint32Array {
  const words = new Uint32Array((values.length * bits) / 32);
  values.forEach((value, i) => {
    for (let b = 0; b < bits; b++) {
      const at = i * bits + b;
      if ((value >> b) & 1) words[at >> 5] = (words[at >> 5]! | (1 << (at & 31))) >>> 0;
    }
  });
  return words;
}

function ones(bits: number): number {
  return bits === 2 ? 0x55555555 : bits === 4 ? 0x11111111 : 0x01010101;
}
