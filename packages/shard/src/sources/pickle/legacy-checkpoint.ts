import { dtypeBits, type Extent } from '@airllm/loader';
import type { RangedFile } from '../source-files';
import { CONVERT, printable, refuse } from './errors';
import { inParallel } from './in-parallel';
import { PickleEnd } from './pickle-fault';
import type { SavedObject } from './state-dict';
import { TorchHost } from './torch-host';
import { MAX_PICKLE_BYTES, type PickleSource, unpickle } from './unpickle';
import { describe, isKind, type PickleStorage, type PickleValue } from './values';

/** 0x1950a86a20f9469cfc6c, the first of the five pickles. */
const MAGIC = 119547037146038801333356n;
const PROTOCOL = 1001;
const FIRST_READ_BYTES = 128 * 1024;

/**
 * `torch.save` before PyTorch 1.6: five pickles (magic number, protocol, system, object, storage keys), then for each
 * key its number of elements (64 bits) and its bytes.
 */
export async function readLegacyCheckpoint(file: RangedFile): Promise<SavedObject> {
  const { value, keys, storages: announced, end } = await readPickles(file);
  const storages = new Map<string, Extent>();
  const counts: { readonly storage: PickleStorage; readonly at: number }[] = [];
  let at = end;
  for (const key of keys) {
    const storage = announced.get(key);
    if (storage === undefined) return refuse(file.path, `it holds storage ${shown(key)}, which no tensor names`);
    if (storages.has(key)) refuse(file.path, `it lists storage ${shown(key)} twice`);
    counts.push({ storage, at });
    at += 8 + storage.byteLength;
    if (at > file.size) {
      refuse(file.path, `storage ${shown(key)} ends at byte ${at}, but the file has ${file.size}: it is cut`);
    }
    storages.set(key, { file: file.path, offset: at - storage.byteLength, length: storage.byteLength });
  }
  await inParallel(counts, ({ storage, at }) => checkCount(file, storage, at));
  for (const key of announced.keys()) {
    if (!storages.has(key)) refuse(file.path, `it lacks storage ${shown(key)}, which a tensor names`);
  }
  return { value, storages };
}

interface Pickles {
  readonly value: PickleValue;
  readonly keys: readonly string[];
  readonly storages: ReadonlyMap<string, PickleStorage>;
  /** Bytes from the start of the file. */
  readonly end: number;
}

/** Nothing tells how long the pickles are: a start of the file is read, and a longer one if they do not fit. */
async function readPickles(file: RangedFile): Promise<Pickles> {
  for (let length = FIRST_READ_BYTES; ; length *= 4) {
    const bytes = await file.read(0, Math.min(length, file.size, MAX_PICKLE_BYTES));
    try {
      return parsePickles(file, { file: file.path, bytes, fileOffset: 0 });
    } catch (error) {
      if (!(error instanceof PickleEnd)) throw error;
      if (bytes.length === file.size) return refuse(file.path, 'its pickles end before their STOP: the file is cut');
      if (bytes.length === MAX_PICKLE_BYTES) return refuse(file.path, `its pickles exceed ${MAX_PICKLE_BYTES} bytes`);
    }
  }
}

function parsePickles(file: RangedFile, source: PickleSource): Pickles {
  const host = new TorchHost(file.path);
  let end = 0;
  const next = (): PickleValue => {
    const pickle = unpickle(source, end, host);
    end = pickle.end;
    return pickle.value;
  };
  if (next() !== MAGIC) refuse(file.path, 'a pickle, but not one of a PyTorch checkpoint: its magic number is missing');
  const protocol = next();
  if (protocol !== PROTOCOL) refuse(file.path, `${describe(protocol)} as its protocol; ${PROTOCOL} is known`);
  checkSystem(file, next());
  const value = next();
  const keys = next();
  if (!isKind(keys, 'list')) return refuse(file.path, `${describe(keys)} in place of its list of storages`);
  const names = keys.items.map((key) =>
    typeof key === 'string' ? key : refuse(file.path, `${describe(key)} in its list of storages`),
  );
  return { value, keys: names, storages: host.storages, end };
}

function checkSystem(file: RangedFile, system: PickleValue): void {
  if (!isKind(system, 'dict')) refuse(file.path, `${describe(system)} in place of its system description`);
  if (system.entries?.get('little_endian') !== false) return;
  refuse(file.path, 'it was saved on a big-endian machine; only little-endian is read', CONVERT);
}

async function checkCount(file: RangedFile, storage: PickleStorage, at: number): Promise<void> {
  const key = shown(storage.key);
  const bytes = await file.read(at, 8);
  const elements = new DataView(bytes.buffer).getBigUint64(0, true);
  const expected = storage.byteLength / (dtypeBits(storage.dtype) / 8);
  if (elements !== BigInt(expected))
    refuse(file.path, `storage ${key} has ${elements} elements, its tensors say ${expected}`);
}

function shown(key: string): string {
  return JSON.stringify(printable(key));
}
