import type { QuantSample } from './gptq-samples';
import { floatTensor, SampleNumbers, type SampleTensor, textTensor } from './raw-sample';

export interface HqqSample {
  readonly shape: readonly [rows: number, columns: number];
  readonly bits: 1 | 2 | 3 | 4 | 8;
  readonly group: number;
  readonly axis?: 0 | 1;
  /** One scale for all (`channel_wise: false`). */
  readonly perTensor?: boolean;
  /** Scales and zero points in one tensor (`offload_meta`). */
  readonly joined?: boolean;
}

const PACKINGS = { 1: '1bit_u8', 2: '2bit_u8', 3: '3bit_32', 4: '4bit_u8', 8: '8bit_u8' } as const;

/** A module `m` as HQQLinear.state_dict has it: the matrix cut into groups, parts of its rows above each other in bits. */
export function hqqSample(options: HqqSample, seed = 1): QuantSample {
  const { shape, bits, axis = 1, perTensor = false, joined = false } = options;
  const [n, k] = shape;
  const numbers = new SampleNumbers(1000 * seed + 10 * k + bits);
  const { group } = options;
  const columns = axis === 1 ? group : (n * k) / group;
  const rows = (n * k) / columns;
  const count = perTensor ? 1 : axis === 1 ? rows : columns;
  const codes = Array.from({ length: n * k }, () => numbers.next(2 ** bits));
  const scales = numbers.scales(count);
  const zeros = numbers.scales(count).map((number) => 100 * number);
  const weights = Float32Array.from(codes, (code, i) => {
    const at = perTensor ? 0 : axis === 1 ? Math.floor(i / columns) : i % columns;
    return Math.fround(code - zeros[at]!) * scales[at]!;
  });
  const perElement = bits === 3 ? 10 : 8 / bits;
  const partRows = Math.ceil(rows / perElement);
  const elements = Array.from({ length: partRows * columns }, (_, at) => {
    let element = 0;
    for (let part = 0; part < perElement; part++) {
      element |= (codes[part * partRows * columns + at] ?? 0) << ((perElement - 1 - part) * bits);
    }
    return element;
  });
  const data = bits === 3 ? new Uint8Array(Int32Array.from(elements).buffer) : Uint8Array.from(elements);
  const numbersShape = perTensor ? [] : axis === 1 ? [rows, 1] : [1, columns];
  const scalar = (value: number): SampleTensor => {
    return { dtype: 'I32', shape: [], data: new Uint8Array(Int32Array.of(value).buffer) };
  };
  return {
    weights,
    sample: {
      quantisation: { quant_method: 'hqq', quant_config: { weight_quant_params: { nbits: bits, axis } } },
      tensors: {
        'm.W_q': { dtype: bits === 3 ? 'I32' : 'U8', shape: [partRows, columns], data },
        'm.shape': { dtype: 'I64', shape: [2], data: new Uint8Array(BigInt64Array.from(shape, BigInt).buffer) },
        'm.nbits': scalar(bits),
        'm.axis': scalar(axis),
        'm.packing': textTensor(PACKINGS[bits]),
        'm.view_as_float': { dtype: 'U8', shape: [], data: new Uint8Array(1) },
        ...(joined
          ? { 'm.zero_scale': floatTensor([2, ...numbersShape], Float32Array.of(...zeros, ...scales)) }
          : { 'm.scale': floatTensor(numbersShape, scales), 'm.zero': floatTensor(numbersShape, zeros) }),
        'm.bias': floatTensor([n], numbers.scales(n)),
      },
    },
  };
}
