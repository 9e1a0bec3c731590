import { expect, test } from 'vitest';
import {
  AirllmError,
  AllocationError,
  DisposedError,
  FormatError,
  LibraryError,
  MissingFileError,
  MissingTensorError,
  mark,
  OptionError,
  ReadError,
  UnsupportedCheckpointError,
  WriteError,
} from './errors';

const examples = [
  new FormatError({ file: 'f', tensor: 't', reason: 'r' }),
  new MissingTensorError({ tensor: 't', file: 'f', reason: 'r' }),
  new MissingFileError({ file: 'f', neededBy: 'i' }),
  new UnsupportedCheckpointError({ dir: 'd', found: ['a.gguf'], reason: 'r' }),
  new DisposedError('buffer'),
  new ReadError({ file: 'f', offset: 1, expected: 2, found: 0, errno: 'EIO' }),
  new WriteError({ file: 'f', reason: 'r', errno: 'ENOSPC' }),
  new LibraryError({ library: 'l', reason: 'r' }),
  new AllocationError({ byteLength: 1, reason: 'r' }),
  new OptionError({ option: 'threads', expected: '1 to 64', found: 0 }),
];
const classes = [
  FormatError,
  MissingTensorError,
  MissingFileError,
  UnsupportedCheckpointError,
  DisposedError,
  ReadError,
  WriteError,
  LibraryError,
  AllocationError,
  OptionError,
];

test('every error knows its own class and the base, and no other', () => {
  for (const [i, error] of examples.entries()) {
    expect(AirllmError.isInstance(error)).toBe(true);
    expect(classes.map((each) => each.isInstance(error))).toEqual(classes.map((_, j) => j === i));
    expect(error.name).toBe(classes[i]!.name);
  }
});

test('codes are distinct', () => {
  expect(new Set(examples.map((error) => error.code)).size).toBe(examples.length);
});

test('an error of another copy of the package is known by its marker', () => {
  const foreign = new Error('from the CJS copy');
  mark(foreign, 'ReadError');
  expect(ReadError.isInstance(foreign)).toBe(true);
  expect(foreign instanceof ReadError).toBe(false);
  expect(ReadError.isInstance({ code: 'ERR_READ' })).toBe(false);
  expect(AirllmError.isInstance(null)).toBe(false);
});

test('names from untrusted files stay one line of bounded length', () => {
  const { message } = new FormatError({ file: 'f', tensor: `a\n\u001b[31m${'x'.repeat(10_000)}`, reason: 'r' });
  expect([...message].every((character) => character >= ' ')).toBe(true);
  expect(message.length).toBeLessThan(400);
});
