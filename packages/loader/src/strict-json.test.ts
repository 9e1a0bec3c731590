import fc from 'fast-check';
import { expect, test } from 'vitest';
import { JsonError, type JsonValue, parseJson } from './strict-json';

const options = { maxDepth: 64 };

/** The form `JSON.parse` gives. */
function plain(value: JsonValue): unknown {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, each]) => [key, plain(each)]));
  if (Array.isArray(value)) return value.map(plain);
  return typeof value === 'bigint' ? Number(value) : value;
}

test('agrees with JSON.parse on everything JSON.stringify writes', () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 6 }), fc.constantFrom(undefined, 1, '\t'), (json, indent) => {
      const text = JSON.stringify(JSON.parse(json), null, indent);
      expect(plain(parseJson(text, options))).toEqual(JSON.parse(text));
    }),
    { numRuns: 300 },
  );
});

test('refuses what JSON.parse refuses, and nothing but JsonError comes out', () => {
  const pieces = fc.constantFrom(...'{}[]",:\\u0123eE+-.tfn \n', 'true', 'null', '"a"', '1', '\ud800', '\u0001');
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 20 }), (parts) => {
      const text = parts.join('');
      let ours: JsonValue | JsonError;
      try {
        ours = parseJson(text, options);
      } catch (error) {
        expect(error).toBeInstanceOf(JsonError);
        ours = error as JsonError;
      }
      if (!(ours instanceof JsonError)) expect(plain(ours)).toEqual(JSON.parse(text));
    }),
    { numRuns: 3000 },
  );
});

test.each([
  ['duplicate keys', '{"a":{"b":1,"b":2}}', ['a', 'b']],
  ['duplicate keys behind an escape', '{"a":1,"\\u0061":2}', ['a']],
  ['an unpaired surrogate', '["\\ud800"]', []],
  ['two values', '{} {}', []],
  ['a comment', '{/**/}', []],
  ['a trailing comma', '[1,]', []],
  ['a leading zero', '[01]', []],
  ['a bare minus', '[-]', []],
  ['an open string', '{"a', []],
  ['a raw newline in a string', '["\n"]', []],
  ['no value at all', '', []],
  ['a byte order mark', '\ufeff{}', []],
  ['a number of a million digits', `[${'9'.repeat(1e6)}]`, []],
])('refuses %s', (_, text, path) => {
  const error = caught(() => parseJson(text, options));
  expect(error).toBeInstanceOf(JsonError);
  expect((error as JsonError).path).toEqual(path);
});

test('depth is bounded, not the stack', () => {
  const deep = (n: number) => '['.repeat(n) + ']'.repeat(n);
  expect(() => parseJson(deep(64), options)).not.toThrow();
  expect(() => parseJson(deep(65), options)).toThrow(JsonError);
  expect(() => parseJson('{"a":'.repeat(1e6), options)).toThrow(JsonError);
});

test('integers keep their value, fractions can be refused', () => {
  expect(parseJson('[9007199254740993,-1,1e2,1.5]', options)).toEqual([9007199254740993n, -1, 100, 1.5]);
  for (const text of ['1.0', '1e2', '-0', '0.5']) {
    expect(() => parseJson(text, { ...options, integersOnly: true })).toThrow(JsonError);
  }
});

test('a key named __proto__ is only a key', () => {
  const value = parseJson('{"__proto__":{"polluted":true}}', options) as Map<string, JsonValue>;
  expect([...value.keys()]).toEqual(['__proto__']);
  expect('polluted' in {}).toBe(false);
});

function caught(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}
