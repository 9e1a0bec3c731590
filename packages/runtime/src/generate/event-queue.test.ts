import { expect, test } from 'vitest';
import { EventQueue } from './event-queue';

const end = { done: true, value: undefined };

test('values come in order, to readers that waited and to those that come later', async () => {
  const queue = new EventQueue<number | undefined>();
  const waiting = [queue.next(), queue.next()];
  for (const value of [1, undefined, 3]) queue.push(value);
  expect(await Promise.all(waiting)).toEqual([1, undefined].map((value) => ({ done: false, value })));
  expect(queue.unread).toBe(1);
  queue.close();
  queue.push(4);
  expect(await queue.next()).toEqual({ done: false, value: 3 });
  expect(await Promise.all([queue.next(), queue.next()])).toEqual([end, end]);
});

test('a failure is told once, after what came before it', async () => {
  const queue = new EventQueue<number>();
  const reason = new Error('broken');
  queue.push(1);
  queue.fail(reason);
  queue.fail(new Error('too late'));
  expect((await queue.next()).value).toBe(1);
  await expect(queue.next()).rejects.toBe(reason);
  expect(await queue.next()).toEqual(end);
});

test('an abort is told at once', async () => {
  const queue = new EventQueue<number>();
  const reason = new Error('enough');
  queue.push(1);
  queue.close();
  queue.abort(reason);
  await expect(queue.next()).rejects.toBe(reason);
  const waiting = new EventQueue<number>();
  const read = waiting.next();
  waiting.abort(reason);
  await expect(read).rejects.toBe(reason);
});

test('after its end there is nothing to abort', async () => {
  const queue = new EventQueue<number>();
  queue.close();
  queue.abort(new Error('too late'));
  expect(await queue.next()).toEqual(end);
});

test('tells when it is read', async () => {
  let reads = 0;
  const queue = new EventQueue<number>(() => reads++);
  queue.push(1);
  await queue.next();
  void queue.next();
  expect(reads).toBe(2);
});
