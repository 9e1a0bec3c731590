import { floatTensor, type RawSample, SampleNumbers, type SampleTensor, textTensor } from './raw-sample';

/** `[N, K]` of a sample matrix. */
export type Shape = readonly [rows: number, columns: number];

export interface Bitsandbytes4bitSample {
  readonly shape: Shape;
  readonly name?: string;
  readonly blockSize?: number;
  readonly nested?: boolean;
  readonly storage?: 'U8' | 'BF16';
  /** Laid over the quantisation state. */
  readonly state?: Readonly<Record<string, unknown>>;
}

/** One matrix as bitsandbytes stores it, and beside it a dense one. */
export function bitsandbytes4bitSample(sample: Bitsandbytes4bitSample, seed = 1): RawSample {
  const { shape, name = 'model.layers.0.mlp.up_proj.weight', blockSize = 64, nested = false, storage = 'U8' } = sample;
  const numbers = new SampleNumbers(seed);
  const count = shape[0] * shape[1];
  const blocks = Math.ceil(count / blockSize);
  const data = numbers.bytes(Math.ceil(count / 2));
  const state = {
    quant_type: 'nf4',
    blocksize: blockSize,
    dtype: 'bfloat16',
    shape,
    ...(nested && { nested_blocksize: 256, nested_dtype: 'float32', nested_offset: 0.0123 }),
    ...sample.state,
  };
  return {
    quantisation: { quant_method: 'bitsandbytes', load_in_4bit: true },
    tensors: {
      [name]: { dtype: storage, shape: [storage === 'U8' ? data.length : data.length / 2, 1], data },
      [`${name}.absmax`]: nested
        ? { dtype: 'U8', shape: [blocks], data: numbers.bytes(blocks) }
        : floatTensor([blocks], numbers.scales(blocks)),
      [`${name}.quant_map`]: floatTensor([16], spread(16)),
      ...(nested && {
        [`${name}.nested_absmax`]: floatTensor([Math.ceil(blocks / 256)], numbers.scales(Math.ceil(blocks / 256))),
        [`${name}.nested_quant_map`]: floatTensor([256], spread(256)),
      }),
      [`${name}.quant_state.bitsandbytes__nf4`]: textTensor(JSON.stringify(state)),
      'model.norm.weight': floatTensor([4], numbers.scales(4)),
    },
  };
}

/** Uneven numbers from −1 to 1, in order. */
function spread(count: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => Math.sin(((i + 0.5) / count - 0.5) * 3));
}

export function bitsandbytesInt8Sample(shape: Shape, seed = 1): RawSample {
  const numbers = new SampleNumbers(seed);
  const module = 'model.layers.0.self_attn.k_proj';
  return {
    quantisation: { quant_method: 'bitsandbytes', load_in_8bit: true },
    tensors: {
      [`${module}.weight`]: { dtype: 'I8', shape, data: numbers.bytes(shape[0] * shape[1]) },
      [`${module}.SCB`]: floatTensor([shape[0]], numbers.scales(shape[0])),
      [`${module}.weight_format`]: { dtype: 'U8', shape: [], data: new Uint8Array(1) },
      [`${module}.bias`]: floatTensor([shape[0]], numbers.scales(shape[0])),
    },
  };
}

export interface Fp8Sample {
  readonly shape: Shape;
  readonly scaleName?: string;
  readonly scales: SampleTensor;
  readonly quantisation?: Record<string, unknown> | null;
}

export function fp8Sample(sample: Fp8Sample, seed = 1): RawSample {
  const { shape, scaleName = 'weight_scale_inv', scales } = sample;
  const module = 'model.layers.0.mlp.experts.3.down_proj';
  // 0x7f and 0xff are NaN.
  const data = new SampleNumbers(seed).bytes(shape[0] * shape[1]).map((code) => ((code & 0x7f) === 0x7f ? 0 : code));
  return {
    quantisation: sample.quantisation === undefined ? { quant_method: 'fp8' } : sample.quantisation,
    tensors: {
      [`${module}.weight`]: { dtype: 'F8_E4M3', shape, data },
      [`${module}.${scaleName}`]: scales,
      [`${module}.input_scale`]: floatTensor([1], new Float32Array(1)),
      'model.layers.0.self_attn.k_proj.k_scale': floatTensor([], new Float32Array(1)),
      'model.layers.0.input_layernorm.scale': floatTensor([8], new Float32Array(8)),
    },
  };
}

export function nvfp4Sample(shape: Shape, seed = 1): RawSample {
  const numbers = new SampleNumbers(seed);
  const module = 'model.layers.0.mlp.down_proj';
  const groups = Math.ceil(shape[1] / 16);
  return {
    quantisation: { quant_method: 'modelopt', quant_algo: 'NVFP4' },
    tensors: {
      [`${module}.weight`]: {
        dtype: 'U8',
        shape: [shape[0], shape[1] / 2],
        data: numbers.bytes((shape[0] * shape[1]) / 2),
      },
      [`${module}.weight_scale`]: {
        dtype: 'F8_E4M3',
        shape: [shape[0], groups],
        data: numbers.bytes(shape[0] * groups, 0x7f),
      },
      [`${module}.weight_scale_2`]: floatTensor([], Float32Array.of(0.001953)),
      [`${module}.input_scale`]: floatTensor([], Float32Array.of(1)),
    },
  };
}

export interface Mxfp4Sample {
  readonly experts: number;
  readonly rows: number;
  readonly columns: number;
}

export function mxfp4Sample({ experts, rows, columns }: Mxfp4Sample, seed = 1): RawSample {
  const numbers = new SampleNumbers(seed);
  const module = 'model.layers.0.mlp.experts.down_proj';
  const groups = columns / 32;
  const count = experts * rows * groups;
  return {
    quantisation: { quant_method: 'mxfp4' },
    tensors: {
      [`${module}_blocks`]: { dtype: 'U8', shape: [experts, rows, groups, 16], data: numbers.bytes(count * 16) },
      [`${module}_scales`]: {
        dtype: 'U8',
        shape: [experts, rows, groups],
        data: numbers.bytes(count, 20).map((exponent) => 110 + exponent),
      },
      [`${module}_bias`]: floatTensor([experts, rows], numbers.scales(experts * rows), 'BF16'),
      'model.layers.0.mlp.router.weight': floatTensor([experts, 2], numbers.scales(2 * experts)),
    },
  };
}

export interface TorchaoSample {
  readonly shape: Shape;
  readonly type?: string;
  readonly block: Shape;
  /** Zero points: none, all 0, or any. */
  readonly zeros?: 'none' | 'zero' | 'any';
  /** Laid over the subclass's JSON. */
  readonly subclass?: Readonly<Record<string, unknown>>;
}

export function torchaoSample(sample: TorchaoSample, seed = 1): RawSample {
  const { shape, type = 'Int8Tensor', block, zeros = 'none', subclass } = sample;
  const numbers = new SampleNumbers(seed);
  const module = 'model.layers.0.self_attn.q_proj';
  const counts = [Math.ceil(shape[0] / block[0]), Math.ceil(shape[1] / block[1])] as const;
  const count = counts[0] * counts[1];
  const float8 = type === 'Float8Tensor';
  const codes = numbers.bytes(shape[0] * shape[1], float8 ? 0x7f : 256);
  const zeroBytes = zeros === 'zero' ? new Uint8Array(count) : numbers.bytes(count);
  return {
    quantisation: { quant_method: 'torchao' },
    metadata: {
      [`${module}.weight`]: JSON.stringify({
        _type: type,
        _data: { block_size: block, dtype: { _type: 'torch.dtype', _data: 'bfloat16' } },
        _tensor_data_names: ['qdata', 'scale', ...(zeros === 'none' ? [] : ['zero_point'])],
        ...subclass,
      }),
      'model.norm.weight': '{"_type":"Tensor"}',
    },
    tensors: {
      [`${module}._weight_qdata`]: { dtype: float8 ? 'F8_E4M3' : 'I8', shape, data: codes },
      [`${module}._weight_scale`]: floatTensor(counts, numbers.scales(count)),
      ...(zeros !== 'none' && { [`${module}._weight_zero_point`]: { dtype: 'I8', shape: counts, data: zeroBytes } }),
      'model.norm.weight': floatTensor([4], numbers.scales(4)),
    },
  };
}
