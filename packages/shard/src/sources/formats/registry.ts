import type { QuantFormat } from '../source';
import { awq } from './awq';
import { bitsandbytes } from './bitsandbytes';
import { compressedTensors } from './compressed-tensors';
import { fbgemm } from './fbgemm';
import { fp8 } from './fp8';
import { gptq } from './gptq';
import { hqq } from './hqq';
import { mlx } from './mlx';
import { modelopt } from './modelopt';
import { mxfp4 } from './mxfp4';
import { torchao } from './torchao';

/** Every way of publishing quantised weights that is known, in the order of asking. Add a line per file of this folder. */
export const FORMATS: readonly QuantFormat[] = [
  awq,
  bitsandbytes,
  compressedTensors,
  fbgemm,
  gptq,
  hqq,
  mlx,
  // Before fp8, which takes the FP8 weights of a checkpoint that names no method.
  modelopt,
  fp8,
  mxfp4,
  torchao,
];
