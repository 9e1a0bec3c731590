import { expectedBitsandbytes } from './bitsandbytes';
import { expectedCompressedTensors } from './compressed-tensors';
import type { ExpectedFormat } from './expectation';
import { expectedFbgemm, expectedFp8 } from './fp8';
import { expectedAwq, expectedGptq } from './gptq';
import { expectedHqq } from './hqq';
import { expectedMlx } from './mlx';
import { expectedModelopt } from './modelopt';
import { expectedMxfp4 } from './mxfp4';
import { expectedTorchao } from './torchao';

/** Every way of quantising whose result can be told without its files. */
export const EXPECTED_FORMATS: readonly ExpectedFormat[] = [
  expectedAwq,
  expectedBitsandbytes,
  expectedCompressedTensors,
  expectedFbgemm,
  expectedFp8,
  expectedGptq,
  expectedHqq,
  expectedMlx,
  expectedModelopt,
  expectedMxfp4,
  expectedTorchao,
];
