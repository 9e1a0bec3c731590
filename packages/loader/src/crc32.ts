import zlib from 'node:zlib';

/**
 * CRC-32 (IEEE 802.3, as of zip and gzip) of some bytes, going on from `seed`: what a drive or a cable may do to them
 * without saying so, it finds; it is no protection against somebody who changes them on purpose.
 */
export function crc32(bytes: Uint8Array, seed = 0): number {
  // Since Node 20.15, at some 7 GB/s.
  return typeof zlib.crc32 === 'function' ? zlib.crc32(bytes, seed) : portableCrc32(bytes, seed);
}

let tables: readonly Uint32Array[] | undefined;

/** By tables, eight bytes at a time: some hundred MB/s. */
export function portableCrc32(bytes: Uint8Array, seed = 0): number {
  tables ??= makeTables();
  const [t0, t1, t2, t3, t4, t5, t6, t7] = tables as [
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
  ];
  let crc = ~seed;
  let i = 0;
  for (; i + 8 <= bytes.length; i += 8) {
    crc ^= bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
    crc =
      t7[crc & 0xff]! ^
      t6[(crc >>> 8) & 0xff]! ^
      t5[(crc >>> 16) & 0xff]! ^
      t4[crc >>> 24]! ^
      t3[bytes[i + 4]!]! ^
      t2[bytes[i + 5]!]! ^
      t1[bytes[i + 6]!]! ^
      t0[bytes[i + 7]!]!;
  }
  for (; i < bytes.length; i++) crc = t0[(crc ^ bytes[i]!) & 0xff]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** Table k: what a byte does to the sum once k further bytes have passed. */
function makeTables(): readonly Uint32Array[] {
  const first = Uint32Array.from({ length: 256 }, (_, byte) => {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
    return crc;
  });
  const made = [first];
  while (made.length < 8) made.push(made.at(-1)!.map((crc) => first[crc & 0xff]! ^ (crc >>> 8)));
  return made;
}
