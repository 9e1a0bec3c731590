/** Direct I/O wants file offsets, lengths and addresses in multiples of this. */
export const BLOCK = 4096;

export function alignDown(value: number, alignment: number): number {
  return value - (value % alignment);
}

export function alignUp(value: number, alignment: number): number {
  return alignDown(value + alignment - 1, alignment);
}
