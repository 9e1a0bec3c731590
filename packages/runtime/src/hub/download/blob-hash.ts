import { createHash, type Hash } from 'node:crypto';
import { type ForeignFunction, foreignAvailable, loadLibrary } from '@airllm/loader';

/** A running hash over the bytes of a blob, in their order. */
export interface BlobHash {
  readonly algorithm: 'sha256' | 'git-sha1';
  /** One call at a time; the bytes must not change before it resolves. */
  update(bytes: Uint8Array): Promise<void>;
  /** What it takes to go on from here in another process; undefined where that cannot be had. */
  save(): Uint8Array | undefined;
  /** Hexadecimal. Ends the hash. */
  digest(): string;
}

/**
 * The hash that a blob is named by: sha256 for LFS files, git's sha1 otherwise. With the state of an earlier `save()` it
 * goes on from there; undefined if it cannot, and has to start over.
 */
export function blobHash(size: number, etag: string, state?: Uint8Array): BlobHash | undefined {
  if (etag.length === 40) {
    return state === undefined ? plainHash('git-sha1', createHash('sha1').update(`blob ${size}\0`)) : undefined;
  }
  const openssl = opensslSha256();
  if (openssl !== undefined) return openssl(state);
  return state === undefined ? plainHash('sha256', createHash('sha256')) : undefined;
}

function plainHash(algorithm: BlobHash['algorithm'], hash: Hash): BlobHash {
  return {
    algorithm,
    async update(bytes) {
      hash.update(bytes);
    },
    save: () => undefined,
    digest: () => hash.digest('hex'),
  };
}

type Call<Arguments extends unknown[]> = ForeignFunction<Arguments, number>;

/** `SHA256_CTX`: eight words of state, the length in bits, a block of 64 bytes, and two counts. */
const CONTEXT_BYTES = 8 * 4 + 2 * 4 + 64 + 2 * 4;

/**
 * The sha256 of the OpenSSL that Node is made of, by its old interface: as fast as `createHash`, but its state is plain
 * memory, so that a download goes on after its process was killed, without reading a byte again. And it runs on another
 * thread. Its words have the order of this machine's bytes, hence the marker in front.
 */
function opensslSha256(): ((state?: Uint8Array) => BlobHash | undefined) | undefined {
  if (!foreignAvailable()) return undefined;
  let init: Call<[Uint8Array]>;
  let update: Call<[Uint8Array, Uint8Array, number]>;
  let final: Call<[Uint8Array, Uint8Array]>;
  try {
    const process = loadLibrary(null);
    init = process.function('SHA256_Init', 'int', ['void *']);
    update = process.function('SHA256_Update', 'int', ['void *', 'void *', 'size_t']);
    final = process.function('SHA256_Final', 'int', ['void *', 'void *']);
  } catch {
    // A Node with another library of cryptography, or one that hides these names.
    return undefined;
  }
  return (state) => {
    // Larger than today's structure, should it grow.
    const context = Buffer.alloc(256);
    if (state !== undefined && !restore(context, state)) return undefined;
    if (state === undefined && init(context) !== 1) return undefined;
    return {
      algorithm: 'sha256',
      async update(bytes) {
        // A hop to another thread costs as much as hashing 30 kB.
        if (bytes.length < SMALL_BYTES) update(context, bytes, bytes.length);
        else await update.async(context, bytes, bytes.length);
      },
      save: () => Buffer.concat([marker(), context.subarray(0, CONTEXT_BYTES)]),
      digest() {
        const digest = Buffer.alloc(32);
        final(digest, context);
        return digest.toString('hex');
      },
    };
  };
}

const SMALL_BYTES = 32_768;

function marker(): Buffer {
  return Buffer.from(`sha256_ctx/${process.arch}/`);
}

function restore(context: Buffer, state: Uint8Array): boolean {
  const expected = marker();
  if (state.length !== expected.length + CONTEXT_BYTES || expected.compare(state, 0, expected.length) !== 0)
    return false;
  context.set(state.subarray(expected.length));
  return true;
}
