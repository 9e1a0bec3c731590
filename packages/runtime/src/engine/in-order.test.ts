import { expect, test } from 'vitest';
import { InOrder } from './in-order';

test('goes on when few enough pieces are to be done, and settles with the last', async () => {
  const pieces = new InOrder(1);
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
  await pieces.take(first.piece);
  const taken = pieces.take(second.piece).then(() => events.push('taken'));
  await Promise.resolve();
  expect(events).toEqual([]);
  first.end();
  await taken;
  expect(events).toEqual(['first', 'taken']);
  second.end();
  await pieces.settle();
  expect(events).toEqual(['first', 'taken', 'second']);
});

test('a piece that fails is met by a later one, or by the end', async () => {
  const pieces = new InOrder(1);
  await pieces.take(Promise.reject(new Error('first')));
  await expect(pieces.take(Promise.reject(new Error('second')))).rejects.toThrow('first');
  await expect(pieces.settle()).rejects.toThrow('second');
});
