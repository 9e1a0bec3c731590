import type { Backend, DeviceBuffer } from './backend';

/** Pieces that memory is tried in: what every device can bind. */
const PIECE = 128 * 1024 * 1024;

/**
 * How many of `bytes` more bytes can be had: takes them, and gives them back. Whatever keeps a piece from being had, the
 * next one would meet it too.
 */
export async function probeMemory(backend: Backend, bytes: number): Promise<number> {
  const held: DeviceBuffer[] = [];
  let had = 0;
  try {
    while (had < bytes) {
      const buffer = await backend.allocate(Math.min(PIECE, bytes - had));
      held.push(buffer);
      // A device may say only now that there was nothing.
      await backend.read(buffer, 1);
      had += buffer.byteLength;
    }
  } catch {
    // What was had is the answer.
  } finally {
    for (const buffer of held) backend.free(buffer);
  }
  return Math.min(had, bytes);
}
