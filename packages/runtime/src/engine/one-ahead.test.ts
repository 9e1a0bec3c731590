import { expect, test } from 'vitest';
import { OneAhead } from './one-ahead';

test('goes on when the piece before has ended, and settles with the last', async () => {
  const ahead = new OneAhead();
  const events: string[] = [];
  const begin = (name: string) => {
    let end = () => {};
    const piece = new Promise<void>((resolve) => {
      end = resolve;
    });
    return { piece: piece.then(() => events.push(name)), end };
  };
  const first = begin('first');
  const second = begin('second');
  await ahead.take(first.piece);
  const taken = ahead.take(second.piece).then(() => events.push('taken'));
  await Promise.resolve();
  expect(events).toEqual([]);
  first.end();
  await taken;
  expect(events).toEqual(['first', 'taken']);
  second.end();
  await ahead.settle();
  expect(events).toEqual(['first', 'taken', 'second']);
});

test('a piece that fails is met by the next one, or by the end', async () => {
  const ahead = new OneAhead();
  await ahead.take(Promise.reject(new Error('first')));
  await expect(ahead.take(Promise.reject(new Error('second')))).rejects.toThrow('first');
  await expect(ahead.settle()).rejects.toThrow('second');
});
