import { FormatError } from '@airllm/loader';
import type { GgmlType } from './ggml-types';
import { quoted } from './text';

const MAX_SAFE = BigInt(Number.MAX_SAFE_INTEGER);

/** A tensor as the header tells it. */
export interface GgufTensor {
  readonly name: string;
  readonly type: GgmlType;
  /** Outermost dimension first: the reverse of the file's order. */
  readonly shape: readonly number[];
  readonly file: string;
  /** From the start of the file. */
  readonly offset: number;
  readonly byteLength: number;
}

/** The same with an offset that nobody has checked. */
export interface TensorInfo {
  readonly name: string;
  readonly type: GgmlType;
  readonly shape: readonly number[];
  readonly byteLength: number;
  /** From the start of the data. */
  readonly offset: bigint;
}

/** Shape and bytes of a tensor from its dimensions, fastest first. */
export function measure(
  dimensions: readonly bigint[],
  type: GgmlType,
  fail: (reason: string) => never,
): Pick<TensorInfo, 'shape' | 'byteLength'> {
  const found = `dimensions [${dimensions.join(', ')}]`;
  const elements = dimensions.reduce((product, size) => product * size, 1n);
  if (dimensions.some((size) => size === 0n)) fail(`${found}: none may be 0`);
  if (elements > MAX_SAFE) fail(`${found} have more than 2^53 elements`);
  const row = dimensions[0] ?? 1n;
  if (row % BigInt(type.blockValues) !== 0n) {
    fail(`rows of ${row} values are not whole ${type.name} blocks of ${type.blockValues}`);
  }
  const bytes = (elements / BigInt(type.blockValues)) * BigInt(type.blockBytes);
  if (bytes > MAX_SAFE) fail(`${found} take more than 2^53 bytes`);
  return { shape: dimensions.map(Number).reverse(), byteLength: Number(bytes) };
}

/** Where the tensor lies in the file, if the file has it. */
export function place(
  info: TensorInfo,
  facts: { file: string; fileBytes: number; alignment: number; dataStart: number },
): GgufTensor {
  const { name, type, shape, byteLength } = info;
  const { file, fileBytes, alignment, dataStart } = facts;
  const fail = (reason: string): never => {
    throw new FormatError({ file, tensor: name, reason });
  };
  if (info.offset % BigInt(alignment) !== 0n) fail(`its offset ${info.offset} is not a multiple of ${alignment}`);
  const end = BigInt(dataStart) + info.offset + BigInt(byteLength);
  if (end > BigInt(fileBytes)) {
    fail(`it ends at byte ${end}, but the file has ${fileBytes}: cut, or not fully downloaded`);
  }
  return { name, type, shape, file, offset: dataStart + Number(info.offset), byteLength };
}

export function checkNames(file: string, tensors: readonly GgufTensor[]): void {
  const seen = new Set<string>();
  for (const { name } of tensors) {
    if (seen.has(name)) throw new FormatError({ file, tensor: name, reason: 'it stands in the header twice' });
    seen.add(name);
  }
}

/** Holes are padding; an overlap is an error. */
export function checkOverlap(file: string, tensors: readonly GgufTensor[]): void {
  const sorted = [...tensors].sort((a, b) => a.offset - b.offset);
  for (let i = 1; i < sorted.length; i++) {
    const [before, tensor] = [sorted[i - 1]!, sorted[i]!];
    const overlap = before.offset + before.byteLength - tensor.offset;
    if (overlap <= 0) continue;
    const reason = `${overlap} bytes of it overlap tensor ${quoted(before.name)}`;
    throw new FormatError({ file, tensor: tensor.name, reason });
  }
}
