import { expect, test } from 'vitest';
import { LineLedger } from './line-ledger';

test('it knows what it was told, and nothing else, while it grows', () => {
  const ledger = new LineLedger();
  const numbers = Array.from({ length: 5000 }, (_, i) => i);
  const before = numbers.filter((i) => {
    if (i % 3 === 0) ledger.record({ custom_id: `id-${i}`, error: null });
    if (i % 5 === 0) ledger.record({ custom_id: null, error: { code: 'x', message: '', param: null, line: i } });
    return ledger.sawBefore(`id-${i}`);
  });
  expect(before).toEqual([]);
  expect(numbers.filter((i) => ledger.isAnswered(`id-${i}`))).toEqual(numbers.filter((i) => i % 3 === 0));
  expect(numbers.filter((i) => ledger.isLineAnswered(i))).toEqual(numbers.filter((i) => i % 5 === 0));
  expect(numbers.filter((i) => ledger.sawBefore(`id-${i}`))).toEqual(numbers);
  expect(ledger.isAnswered('id-5000')).toBe(false);
  expect(ledger.size).toBe(6000);
});

test('starting over forgets what has occurred, not what was answered', () => {
  const ledger = new LineLedger();
  ledger.sawBefore('a');
  ledger.record({ custom_id: 'b', error: null });
  ledger.startOver();
  expect([ledger.sawBefore('a'), ledger.isAnswered('b'), ledger.isAnswered('a')]).toEqual([false, true, false]);
  expect(ledger.size).toBe(2);
});
