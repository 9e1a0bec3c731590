import { expect, test } from 'vitest';
import { shareRows } from './share-rows';

const decode = { prefill: 0, decoding: 1 };
const prompt = (length: number) => ({ prefill: length - 1, decoding: 1 });

const limits = (rows: number, logitRows: number, prefillRows = rows) => ({ rows, logitRows, prefillRows });

test('those that decode come first, then prompts in their order, in pieces', () => {
  const wanted = [prompt(10), decode, prompt(10), decode];
  expect(shareRows(wanted, limits(32, 16))).toEqual([10, 1, 10, 1]);
  expect(shareRows(wanted, limits(16, 16))).toEqual([10, 1, 4, 1]);
  expect(shareRows(wanted, limits(8, 16))).toEqual([6, 1, 0, 1]);
});

test('prompts get on however many decode', () => {
  const wanted = [...Array.from({ length: 16 }, () => decode), prompt(100)];
  expect(shareRows(wanted, limits(16, 64)).at(-1)).toBe(2);
});

test('prompts ask those that decode to wait no longer than they can', () => {
  expect(shareRows([decode, prompt(10), prompt(10)], limits(32, 16, 12))).toEqual([1, 10, 2]);
  expect(shareRows([decode, prompt(10)], limits(32, 16, 0))).toEqual([1, 0]);
});

test('those whose logits find no room wait; a prompt stops before its last row', () => {
  const drafted = { prefill: 0, decoding: 4 };
  expect(shareRows([decode, drafted, decode, prompt(5)], limits(32, 2))).toEqual([1, 0, 1, 4]);
  expect(shareRows([prompt(1)], limits(32, 16))).toEqual([1]);
});
