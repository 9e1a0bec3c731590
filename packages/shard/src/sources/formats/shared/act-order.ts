/** Columns in the order of their groups, and within a group in their own: what act-order stores them in. */
export function groupOrder(groupOf: Int32Array): Int32Array {
  return Int32Array.from(groupOf.keys()).sort((a, b) => groupOf[a]! - groupOf[b]! || a - b);
}

/** Whether column k is in group floor(k / size) for all of them. */
export function isInOrder(groupOf: Int32Array, size: number): boolean {
  return groupOf.every((group, k) => group === Math.floor(k / size));
}
