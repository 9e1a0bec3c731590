import type { BlockDType, BlockNumbers, CodeKind, PackedFormat } from '@airllm/kernels';

type Fields = Record<string, unknown>;
type Fail = (reason: string) => never;

const CODES: readonly CodeKind[] = ['u4', 'table4', 'u8', 'i8', 'e4m3'];
const FLOATS: readonly Exclude<BlockDType, 'U8'>[] = ['F32', 'F16', 'BF16'];
const NUMBERS: readonly BlockDType[] = [...FLOATS, 'U8'];

/** A format from a file: exactly the fields that formats have, with values that mean something, or `fail`. */
export function parseFormat(value: unknown, fail: Fail): PackedFormat {
  const fields = only(
    value,
    ['code', 'nibbles', 'block', 'flat', 'scale', 'zero', 'offset', 'columns'],
    'format',
    fail,
  );
  const block = only(fields.block, ['rows', 'columns'], 'block', fail);
  return {
    code: oneOf(fields.code, CODES, 'code', fail),
    ...(fields.nibbles !== undefined && { nibbles: oneOf(fields.nibbles, ['low', 'high'] as const, 'nibbles', fail) }),
    block: { rows: count(block.rows, 'block.rows', fail), columns: count(block.columns, 'block.columns', fail) },
    ...(fields.flat !== undefined && { flat: oneOf(fields.flat, [true] as const, 'flat', fail) }),
    scale: numbers(fields.scale, 'scale', fail),
    ...(fields.zero !== undefined && { zero: zero(fields.zero, fail) }),
    ...(fields.offset !== undefined && { offset: numbers(fields.offset, 'offset', fail) }),
    ...(fields.columns !== undefined && { columns: oneOf(fields.columns, [true] as const, 'columns', fail) }),
  };
}

function numbers(value: unknown, what: string, fail: Fail): BlockNumbers {
  const fields = only(value, ['dtype', 'supers', 'bias'], what, fail);
  const supers = fields.supers === undefined ? undefined : only(fields.supers, ['dtype', 'every'], what, fail);
  return {
    dtype: oneOf(fields.dtype, NUMBERS, `${what}.dtype`, fail),
    ...(supers && {
      supers: {
        dtype: oneOf(supers.dtype, FLOATS, `${what}.supers.dtype`, fail),
        every: count(supers.every, `${what}.supers.every`, fail),
      },
    }),
    ...(fields.bias !== undefined && { bias: oneOf(fields.bias, [true] as const, `${what}.bias`, fail) }),
  };
}

function zero(value: unknown, fail: Fail): NonNullable<PackedFormat['zero']> {
  if (typeof value === 'number') return value;
  return { dtype: oneOf(only(value, ['dtype'], 'zero', fail).dtype, NUMBERS, 'zero.dtype', fail) };
}

function only(value: unknown, keys: readonly string[], what: string, fail: Fail): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return fail(`${what} must be an object`);
  const unknown = Object.keys(value).find((key) => !keys.includes(key));
  return unknown === undefined ? (value as Fields) : fail(`${what}.${unknown} is not known; update @airllm/shard`);
}

function oneOf<T>(value: unknown, choices: readonly T[], what: string, fail: Fail): T {
  const found = choices.find((choice) => choice === value);
  return found ?? fail(`${what} is ${JSON.stringify(value)}, expected ${choices.join(', ')}`);
}

function count(value: unknown, what: string, fail: Fail): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return value;
  return fail(`${what} is ${JSON.stringify(value)}, expected a count`);
}
