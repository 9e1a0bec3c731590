import { expect, test } from 'vitest';
import { formatBytes, formatCount, formatSeconds, roomyMemory } from './units';

test.each([
  [0, '0 bytes'],
  [999, '999 bytes'],
  [1000, '1.00 kB'],
  [999_499, '999 kB'],
  [999_500, '1.00 MB'],
  [60_816_028, '60.8 MB'],
  [811_706_777_600, '812 GB'],
  [5e15, '5000 TB'],
])('%i bytes are %s', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

test.each([
  [512, '512'],
  [15_191_712, '15.2M'],
  [8_030_261_248, '8.03B'],
  [405_853_388_800, '406B'],
])('%i is %s', (count, text) => {
  expect(formatCount(count)).toBe(text);
});

test.each([
  [0.123, '0.12 s'],
  [4.25, '4.3 s'],
  [59.4, '59 s'],
  [200, '3 min 20 s'],
  [7500, '2 h 5 min'],
])('%f seconds are %s', (seconds, text) => {
  expect(formatSeconds(seconds)).toBe(text);
});

test('a memory to try is above the floor, in whole megabytes', () => {
  expect(roomyMemory(127_634_432)).toBe('136MB');
});
