import { describe, expect, test } from 'vitest';
import { LibraryError } from './errors';
import { addressOf, foreignAvailable, loadLibrary, viewMemory } from './foreign';
import { HostBuffer } from './host-buffer';

const libc = process.platform === 'win32' ? 'msvcrt.dll' : null;

describe.skipIf(!foreignAvailable())('native functions', () => {
  test('take numbers, text, addresses and typed arrays', () => {
    const library = loadLibrary(libc);
    expect(library.function<[string], number>('strlen', 'size_t', ['str'])('four')).toBe(4);
    expect(library.function<[number], number>('abs', 'int', ['int'])(-7)).toBe(7);
    const buffer = HostBuffer.allocate(16);
    const copy = library.function<[bigint, Uint8Array, number], unknown>('memcpy', 'uintptr_t', [
      'uintptr_t',
      'void *',
      'size_t',
    ]);
    copy(buffer.address + 3n, Uint8Array.of(1, 2, 3), 3);
    expect([...buffer.bytes(2, 5)]).toEqual([0, 1, 2, 3, 0]);
    buffer.dispose();
  });

  test('can be called off the event loop', async () => {
    const strlen = loadLibrary(libc).function<[string], number>('strlen', 'size_t', ['str']);
    expect(await Promise.all([strlen.async('a'), strlen.async('ab')])).toEqual([1, 2]);
  });

  test('an address is that of the first byte of the view', () => {
    const buffer = HostBuffer.allocate(64);
    expect(addressOf(buffer.bytes(10))).toBe(buffer.address + 10n);
    buffer.bytes()[12] = 5;
    expect(new Uint8Array(viewMemory(buffer.address + 12n, 1))[0]).toBe(5);
    expect(() => viewMemory(buffer.address, 2 ** 31)).toThrow(RangeError);
    buffer.dispose();
  });

  test('what is not there is an error that names it', () => {
    expect(() => loadLibrary('/absent/library.so')).toThrow(LibraryError);
    expect(() => loadLibrary(libc).function('no_such_function', 'int', [])).toThrow(/no_such_function/);
  });
});
