/**
 * The k-th largest of `scores` (k from 1 to their number), without sorting a vocabulary: a heap holds the k largest met
 * so far, its smallest on top, and nearly all others are dismissed by one comparison.
 */
export function kthLargest(scores: Float32Array, k: number): number {
  const heap = scores.slice(0, k);
  for (let i = (k >> 1) - 1; i >= 0; i--) siftDown(heap, i);
  for (let i = k; i < scores.length; i++) {
    const score = scores[i]!;
    if (score > heap[0]!) {
      heap[0] = score;
      siftDown(heap, 0);
    }
  }
  return heap[0]!;
}

function siftDown(heap: Float32Array, from: number): void {
  const value = heap[from]!;
  let at = from;
  for (let child = 2 * at + 1; child < heap.length; child = 2 * at + 1) {
    if (child + 1 < heap.length && heap[child + 1]! < heap[child]!) child++;
    if (heap[child]! >= value) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = value;
}
