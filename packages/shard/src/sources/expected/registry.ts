import { expectedBitsandbytes } from './bitsandbytes';
import type { ExpectedFormat } from './expectation';
import { expectedFbgemm, expectedFp8 } from './fp8';
import { expectedAwq, expectedGptq } from './gptq';
import { expectedModelopt } from './modelopt';
import { expectedMxfp4 } from './mxfp4';
import { expectedTorchao } from './torchao';

/** Every way of quantising whose result can be told without its files. */
export const EXPECTED_FORMATS: readonly ExpectedFormat[] = [
  expectedAwq,
  expectedBitsandbytes,
  expectedFbgemm,
  expectedFp8,
  expectedGptq,
  expectedModelopt,
  expectedMxfp4,
  expectedTorchao,
];
