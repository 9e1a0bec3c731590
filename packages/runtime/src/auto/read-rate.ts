import { type Extent, HostBuffer, type Reader } from '@airllm/loader';
import { type Model, storedTensors } from '../models/model';

const MIB = 2 ** 20;
const REQUEST = 8 * MIB;
const IN_FLIGHT = 4;
/** Less says little about a rate. */
const LEAST_BYTES = 16 * MIB;
const ENOUGH_MS = 250;

/**
 * Bytes per second at which a model's weights are read now, sampled for a quarter of a second; undefined where they are
 * too few to tell.
 */
export async function sampleReadRate(model: Model, reader: Reader): Promise<number | undefined> {
  const chunks = storedTensors(model).flatMap(({ extent }) => (extent === undefined ? [] : cut(extent)));
  if (chunks.length * REQUEST < LEAST_BYTES) return undefined;
  const span = Math.max(...chunks.map((chunk) => reader.span(chunk)));
  using buffer = HostBuffer.allocate(IN_FLIGHT * span, { label: 'read sample' });
  const start = performance.now();
  let next = 0;
  let bytes = 0;
  const lane = async (_: unknown, i: number) => {
    while (next < chunks.length && performance.now() - start < ENOUGH_MS) {
      const chunk = chunks[next++]!;
      await reader.read(chunk, buffer, i * span);
      bytes += chunk.length;
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
  return bytes / ((performance.now() - start) / 1000);
}

/** Whole requests only. */
function cut({ file, offset, length }: Extent): Extent[] {
  return Array.from({ length: Math.floor(length / REQUEST) }, (_, i) => ({
    file,
    offset: offset + i * REQUEST,
    length: REQUEST,
  }));
}
