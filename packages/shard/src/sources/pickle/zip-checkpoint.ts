import type { Extent } from '@airllm/loader';
import type { RangedFile } from '../source-files';
import { CONVERT, printable, refuse } from './errors';
import { inParallel } from './in-parallel';
import { PickleEnd } from './pickle-fault';
import type { SavedObject } from './state-dict';
import { StoragePlaces } from './storage-places';
import { TorchHost } from './torch-host';
import { MAX_PICKLE_BYTES, unpickle } from './unpickle';
import { locateEntry, readZip, type ZipArchive, type ZipEntry } from './zip-archive';

/** `torch.save` since PyTorch 1.6: `<any>/data.pkl`, `<any>/byteorder`, and each storage as `<any>/data/<key>`. */
export async function readZipCheckpoint(file: RangedFile): Promise<SavedObject> {
  const archive = await readZip(file);
  const root = rootOf(archive);
  const pickle = root === undefined ? undefined : archive.entries.get(`${root}/data.pkl`);
  if (pickle === undefined) {
    return refuse(file.path, 'it is a zip archive without data.pkl: PyTorch did not write it');
  }
  if (archive.entries.has(`${root}/constants.pkl`)) {
    refuse(file.path, 'it is a TorchScript program, not the weights of one', CONVERT);
  }
  await checkByteOrder(file, archive, archive.entries.get(`${root}/byteorder`));
  const host = new TorchHost(file.path);
  const value = await readPickle(file, archive, pickle, host);
  const storages = new Map<string, Extent>();
  const places = new StoragePlaces(file, archive);
  await inParallel([...host.storages.values()], async ({ key, byteLength }) => {
    const entry = storageEntry(file, archive, `${root}/data/`, key);
    if (entry.size < byteLength) {
      refuse(
        file.path,
        `storage ${key} has ${byteLength} bytes, its entry ${JSON.stringify(entry.name)} ${entry.size}`,
      );
    }
    const offset = await places.of(entry);
    storages.set(key, { file: file.path, offset, length: byteLength });
  });
  return { value, storages };
}

/** As PyTorch does: the first folder of the first entry. */
function rootOf(archive: ZipArchive): string | undefined {
  const [first] = archive.entries.keys();
  const slash = first?.indexOf('/') ?? -1;
  return slash < 0 ? undefined : first!.slice(0, slash);
}

/** Absent before PyTorch 2.0, when every file was little-endian. */
async function checkByteOrder(file: RangedFile, archive: ZipArchive, entry: ZipEntry | undefined): Promise<void> {
  if (entry === undefined) return;
  const offset = await locateEntry(file, archive, entry);
  const order = Buffer.from(await file.read(offset, Math.min(entry.size, 16))).toString('latin1');
  if (order === 'little') return;
  const what = order === 'big' ? 'it was saved on a big-endian machine' : `its byte order is "${printable(order)}"`;
  refuse(file.path, `${what}; only little-endian is read`, CONVERT);
}

async function readPickle(file: RangedFile, archive: ZipArchive, entry: ZipEntry, host: TorchHost) {
  if (entry.size > MAX_PICKLE_BYTES) {
    refuse(file.path, `its data.pkl has ${entry.size} bytes; ${MAX_PICKLE_BYTES} are accepted`, CONVERT);
  }
  const fileOffset = await locateEntry(file, archive, entry);
  const bytes = await file.read(fileOffset, entry.size);
  try {
    return unpickle({ file: file.path, bytes, fileOffset }, 0, host).value;
  } catch (error) {
    if (!(error instanceof PickleEnd)) throw error;
    return refuse(file.path, 'its data.pkl ends before its STOP: the pickle is cut');
  }
}

function storageEntry(file: RangedFile, archive: ZipArchive, folder: string, key: string): ZipEntry {
  // Keys are numbers. Entries are only looked up by name, so a path leads nowhere; but it says what the file is.
  const entry = /^\d{1,20}$/.test(key) ? archive.entries.get(folder + key) : undefined;
  if (entry !== undefined) return entry;
  const shown = JSON.stringify(printable(key));
  if (/^\d+$/.test(key)) return refuse(file.path, `the archive does not hold storage ${shown}`);
  return refuse(file.path, `the storage key ${shown} is no number: a path is never followed`);
}
