/** A run of bytes in a file: where a tensor lies, or what a reader shall bring. */
export interface Extent {
  /** Absolute path. */
  readonly file: string;
  /** Bytes from the start of the file. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
}

/**
 * Direct I/O wants file offsets, lengths and addresses in multiples of the drive's logical block; 4096 suits the
 * drives with 512-byte blocks too.
 */
export const BLOCK = 4096;

export function alignDown(value: number, alignment: number): number {
  return value - (value % alignment);
}

export function alignUp(value: number, alignment: number): number {
  return alignDown(value + alignment - 1, alignment);
}
