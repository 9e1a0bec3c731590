import type { RangedFile } from '../source-files';
import { LOCAL_BYTES, locateEntry, type ZipArchive, type ZipEntry } from './zip-archive';

/** PyTorch pads the local header of every entry, so that its bytes begin at a multiple of this. */
const ALIGNMENT = 64;
/** Id and length of the field that pads. */
const PADDING_HEAD_BYTES = 4;
/** Fields of 64 bits in a local header of a file beyond 4 GiB. */
const WIDE = 0xffffffff;
/** Local headers that are read of a file that is far away. */
const SAMPLES = 2;

/**
 * Where the bytes of a checkpoint's storages begin. Of a file that is here every local header says so; of one that is far
 * away, where each of hundreds would be a request, two do, and the others are where PyTorch puts them as long as these are.
 */
export class StoragePlaces {
  readonly #file: RangedFile;
  readonly #archive: ZipArchive;
  /** Whether each of the first entries lies where it was expected. */
  readonly #samples: Promise<boolean>[] = [];

  constructor(file: RangedFile, archive: ZipArchive) {
    this.#file = file;
    this.#archive = archive;
  }

  /** Throws `FormatError`, `ReadError`. */
  async of(entry: ZipEntry): Promise<number> {
    if (this.#file.isHere) return this.#read(entry);
    const expected = paddedOffset(entry);
    if (this.#samples.length < SAMPLES) {
      const reading = this.#read(entry);
      this.#samples.push(reading.then((offset) => offset === expected));
      return reading;
    }
    return (await Promise.all(this.#samples)).every(Boolean) ? expected : this.#read(entry);
  }

  #read(entry: ZipEntry): Promise<number> {
    return locateEntry(this.#file, this.#archive, entry);
  }
}

/** As `getPadding` of PyTorch's caffe2/serialize/inline_container.cc reckons. */
function paddedOffset({ name, size, headerOffset }: ZipEntry): number {
  const wide = size >= WIDE || headerOffset >= WIDE;
  const wideBytes = wide ? 4 + (size >= WIDE ? 16 : 0) + (headerOffset >= WIDE ? 8 : 0) : 0;
  const least = headerOffset + LOCAL_BYTES + name.length + PADDING_HEAD_BYTES + wideBytes;
  return Math.ceil(least / ALIGNMENT) * ALIGNMENT;
}
