import { expectedBitsandbytes } from './bitsandbytes';
import type { ExpectedFormat } from './expectation';
import { expectedFbgemm, expectedFp8 } from './fp8';
import { expectedModelopt } from './modelopt';
import { expectedMxfp4 } from './mxfp4';
import { expectedTorchao } from './torchao';

/** Every way of quantising whose result can be told without its files. */
export const EXPECTED_FORMATS: readonly ExpectedFormat[] = [
  expectedBitsandbytes,
  expectedFbgemm,
  expectedFp8,
  expectedModelopt,
  expectedMxfp4,
  expectedTorchao,
];
