import { OptionError } from '@airllm/loader';

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  K: 1e3,
  KB: 1e3,
  KIB: 2 ** 10,
  M: 1e6,
  MB: 1e6,
  MIB: 2 ** 20,
  G: 1e9,
  GB: 1e9,
  GIB: 2 ** 30,
  T: 1e12,
  TB: 1e12,
  TIB: 2 ** 40,
};

/** A number of bytes, or a text such as `4GB` (10⁹), `512MiB` (2²⁰), `1.5 G`. */
export type ByteSize = number | string;

/** Bytes of a size. Throws `OptionError` naming `option`. */
export function parseByteSize(size: ByteSize, option: string): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(String(size));
  const unit = UNITS[match?.[2]?.toUpperCase() ?? '?'];
  const bytes = match && unit !== undefined ? Math.floor(Number(match[1]) * unit) : Number.NaN;
  if (!Number.isSafeInteger(bytes) || bytes <= 0) {
    throw new OptionError({ option, expected: 'a size above 0 such as 4GB, 512MiB or a number of bytes', found: size });
  }
  return bytes;
}

/** Such as `3.91 GB`, for messages. */
export function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toPrecision(3)} GB`;
}
