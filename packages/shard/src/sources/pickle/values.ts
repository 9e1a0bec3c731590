import type { DType } from '@airllm/loader';

/**
 * What a pickle can make here. Nothing holds a function, and containers are plain data: a list that contains itself or
 * a tuple of 2^200 items by repetition stays as small as the file that made it, because nobody walks into it.
 */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | PickleTuple
  | PickleList
  | PickleDict
  | PickleGlobal
  | PickleStorage
  | PickleView;

export interface PickleTuple {
  readonly kind: 'tuple';
  readonly items: readonly PickleValue[];
}

export interface PickleList {
  readonly kind: 'list';
  readonly items: PickleValue[];
}

export interface PickleDict {
  readonly kind: 'dict';
  /** Made by `collections.OrderedDict`, which alone may carry attributes (`_metadata`). */
  readonly ordered: boolean;
  /** Null while empty: a state dict makes one empty dict per tensor. A Map, so that `__proto__` is a name. */
  entries: Map<DictKey, PickleValue> | null;
}

export type DictKey = null | boolean | number | bigint | string;

/** A name of the allow-list. */
export type PickleGlobal = { readonly kind: 'global'; readonly name: string } & (
  | { readonly is: 'OrderedDict' | '_rebuild_tensor_v2' | '_rebuild_tensor_v3' | '_rebuild_parameter' }
  | { readonly is: 'storage' | 'dtype'; readonly dtype: DType }
);

/** The bytes behind one or more tensors, as the pickle announces them; where they lie is found later. */
export interface PickleStorage {
  readonly kind: 'storage';
  /** Name within the file. */
  readonly key: string;
  readonly dtype: DType;
  /** Bytes of the storage that the key names. */
  readonly byteLength: number;
  /** The part that this reference means, in bytes: legacy files know storages that are views of others. */
  readonly begin: number;
  readonly end: number;
}

/** A tensor as PyTorch sees it: a storage, where it begins, and how far apart neighbours lie. All in elements. */
export interface PickleView {
  readonly kind: 'view';
  readonly storage: PickleStorage;
  readonly dtype: DType;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

export function describe(value: PickleValue): string {
  if (value === null) return 'None';
  switch (typeof value) {
    case 'boolean':
      return value ? 'True' : 'False';
    case 'string':
      return 'a string';
    case 'number':
    case 'bigint':
      return `the number ${value}`;
    case 'object':
      break;
  }
  switch (value.kind) {
    case 'global':
      return value.name;
    case 'view':
      return 'a tensor';
    case 'list':
    case 'tuple':
    case 'dict':
    case 'storage':
      return `a ${value.kind}`;
  }
}

export function isKind<K extends Exclude<PickleValue, null | boolean | number | bigint | string>['kind']>(
  value: PickleValue | undefined,
  kind: K,
): value is Extract<PickleValue, { kind: K }> {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === kind;
}
