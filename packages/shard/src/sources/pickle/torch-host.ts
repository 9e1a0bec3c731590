import { dtypeBits } from '@airllm/loader';
import { fault } from './pickle-fault';
import { torchGlobal } from './torch-globals';
import type { PickleHost } from './unpickle';
import { describe, isKind, type PickleGlobal, type PickleStorage, type PickleTuple, type PickleValue } from './values';
import { tensorView } from './view';

/** What names, persistent ids and calls of a pickle mean that `torch.save` wrote. One per file: it knows its storages. */
export class TorchHost implements PickleHost {
  readonly #file: string;
  /** Whole storages by key, as first announced. */
  readonly storages = new Map<string, PickleStorage>();

  constructor(file: string) {
    this.#file = file;
  }

  global(module: string, name: string): PickleGlobal {
    return torchGlobal(this.#file, module, name);
  }

  /** `('storage', type, key, device, number of elements[, view of another storage])`. */
  persistent(id: PickleValue): PickleStorage {
    if (!isKind(id, 'tuple')) return fault(`a persistent id that is ${describe(id)}`);
    const [tag, type, key, device, elements, part = null] = id.items;
    if (tag !== 'storage') fault(`a persistent id of the kind ${shown(tag)}; only 'storage' is known`);
    if (!isKind(type, 'global') || type.is !== 'storage') return fault('a storage of no known type');
    if (typeof key !== 'string') return fault('a storage whose key is no string');
    if (typeof device !== 'string') return fault('a storage on no named device');
    const width = dtypeBits(type.dtype) / 8;
    const byteLength = count(elements, 'the number of elements of a storage') * width;
    if (!Number.isSafeInteger(byteLength)) fault(`storage ${shown(key)} claims ${elements} elements`);
    const whole = this.#announce({ kind: 'storage', key, dtype: type.dtype, byteLength, begin: 0, end: byteLength });
    return part === null ? whole : partOf(whole, part, width);
  }

  call(callee: PickleGlobal, args: PickleTuple): PickleValue {
    switch (callee.is) {
      case 'OrderedDict':
        if (args.items.length > 0) fault('an OrderedDict made with arguments');
        return { kind: 'dict', ordered: true, entries: null };
      case '_rebuild_tensor_v2':
      case '_rebuild_tensor_v3':
        return tensorView(callee.is, args.items);
      case '_rebuild_parameter': {
        const [data] = args.items;
        return isKind(data, 'view') ? data : fault(`a parameter made of ${describe(data ?? null)}`);
      }
      case 'storage':
      case 'dtype':
        return fault(`${callee.name} is called`);
    }
  }

  /** State dicts carry the modules' versions; nothing else has attributes. */
  build(target: PickleValue, state: PickleValue): void {
    if (!isKind(target, 'dict') || !target.ordered) fault(`attributes are set on ${describe(target)}`);
    if (!isKind(state, 'dict')) fault(`the attributes of an OrderedDict are ${describe(state)}`);
    for (const name of state.entries?.keys() ?? []) {
      if (name !== '_metadata') fault(`the attribute ${shown(name)} is set on an OrderedDict; only _metadata is known`);
    }
  }

  #announce(storage: PickleStorage): PickleStorage {
    const { key, dtype, byteLength } = storage;
    const known = this.storages.get(key);
    if (known === undefined) {
      this.storages.set(key, storage);
      return storage;
    }
    if (known.dtype !== dtype || known.byteLength !== byteLength) {
      const before = `${known.byteLength} bytes of ${known.dtype}`;
      fault(`storage ${shown(key)} is announced as ${before}, then as ${byteLength} bytes of ${dtype}`);
    }
    return known;
  }
}

/** Legacy files before PyTorch 0.4 know storages within storages: `(key, offset, size)`, in elements. */
function partOf(whole: PickleStorage, part: PickleValue, width: number): PickleStorage {
  if (!isKind(part, 'tuple') || part.items.length !== 3) return fault('a storage view that is no (key, offset, size)');
  const begin = count(part.items[1], 'the offset of a storage view') * width;
  const end = begin + count(part.items[2], 'the size of a storage view') * width;
  if (!(end <= whole.byteLength)) fault(`a storage view ends at byte ${end} of ${whole.byteLength}`);
  return { ...whole, begin, end };
}

function count(value: PickleValue | undefined, what: string): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  return fault(`${what} is ${describe(value ?? null)}`);
}

/** A short, printable form of a name of the file. */
function shown(value: PickleValue | undefined): string {
  return typeof value === 'string' ? JSON.stringify(value.slice(0, 100)) : describe(value ?? null);
}
