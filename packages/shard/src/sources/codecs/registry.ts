import { ggufCodec } from '../gguf/gguf-codec';
import type { Codec } from '../source';
import { awq } from './awq';
import { bitsandbytes4bit } from './bitsandbytes-4bit';
import { compress } from './compress';
import { compressedTensors } from './compressed-tensors';
import { gptq } from './gptq';
import { hqq } from './hqq';
import { interleave } from './interleave';
import { mlx } from './mlx';
import { strided } from './strided';
import { torchaoInt8 } from './torchao-int8';

/** Every codec: what conversions name, and worker threads look up. Add a line per file of this folder. */
export const CODECS: readonly Codec[] = [
  awq,
  bitsandbytes4bit,
  compress,
  compressedTensors,
  ggufCodec,
  gptq,
  hqq,
  interleave,
  mlx,
  strided,
  torchaoInt8,
];
