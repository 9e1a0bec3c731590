import { dtypeBits, type Extent, FormatError } from '@airllm/loader';
import { refuse } from './errors';
import { type PickleTensor, pickleTensor } from './pickle-tensor';
import { describe, isKind, type PickleValue } from './values';

/** What one file holds: an object, and where the storages lie that its tensors name. */
export interface SavedObject {
  readonly value: PickleValue;
  readonly storages: ReadonlyMap<string, Extent>;
}

/** Real names stay below 200 characters; a name ends up in error messages, manifests and file names. */
const MAX_NAME_LENGTH = 4096;

const SAVE_STATE_DICT = 'save `model.state_dict()` alone, best as safetensors';

/** The tensors of a state dict by name, in the order of their bytes. Throws `FormatError`. */
export function stateDictTensors(file: string, { value, storages }: SavedObject): Map<string, PickleTensor> {
  if (!isKind(value, 'dict')) {
    return refuse(file, `it holds ${describe(value)}, not a state dict of names and tensors`, SAVE_STATE_DICT);
  }
  const placed: { readonly offset: number; readonly tensor: PickleTensor }[] = [];
  for (const [name, view] of value.entries ?? []) {
    if (typeof name !== 'string') return refuse(file, `it holds ${describe(name)} as the name of a tensor`);
    const refuseTensor = (reason: string): never => {
      throw new FormatError({ file, tensor: name, reason: `${reason}; ${SAVE_STATE_DICT}` });
    };
    if (name.length > MAX_NAME_LENGTH) {
      refuseTensor(`its name has ${name.length} characters; ${MAX_NAME_LENGTH} are accepted`);
    }
    if (!isKind(view, 'view')) {
      return refuseTensor(`it is ${describe(view)}, not a tensor`);
    }
    const { storage, dtype, shape, strides } = view;
    const place = storages.get(storage.key)!;
    const offset = place.offset + storage.begin + view.offset * (dtypeBits(dtype) / 8);
    placed.push({ offset, tensor: pickleTensor({ name, dtype, shape, strides, file, offset }) });
  }
  placed.sort((a, b) => a.offset - b.offset);
  return new Map(placed.map(({ tensor }) => [tensor.name, tensor]));
}
