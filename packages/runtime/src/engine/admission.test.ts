import { expect, test } from 'vitest';
import { Admission } from './admission';

test('those who fit together run together, the rest in order of arrival', async () => {
  const admission = new Admission(10);
  const entered: string[] = [];
  const enter = (name: string, need: number) =>
    admission.enter(need).then((leave) => {
      entered.push(name);
      return leave;
    });
  const a = await enter('a', 6);
  const b = await enter('b', 4);
  const c = enter('c', 8);
  const d = enter('d', 1);
  a();
  await Promise.resolve();
  expect(entered).toEqual(['a', 'b']);
  b();
  b();
  (await c)();
  (await d)();
  expect(entered).toEqual(['a', 'b', 'c', 'd']);
});

test('a need above the limit gets in alone', async () => {
  const admission = new Admission(10);
  const leave = await admission.enter(50);
  const next = admission.enter(1);
  leave();
  (await next)();
});

test('an abort while waiting rejects with its reason and lets the next one in', async () => {
  const admission = new Admission(10);
  const leave = await admission.enter(9);
  const controller = new AbortController();
  const waiting = admission.enter(10, controller.signal);
  const small = admission.enter(1);
  const reason = new Error('enough');
  controller.abort(reason);
  await expect(waiting).rejects.toBe(reason);
  (await small)();
  leave();
});

test('closing rejects those who wait and those who come later', async () => {
  const admission = new Admission(10);
  const leave = await admission.enter(10);
  const waiting = admission.enter(1);
  const reason = new Error('closed');
  admission.close(reason);
  await expect(waiting).rejects.toBe(reason);
  await expect(admission.enter(1)).rejects.toBe(reason);
  leave();
});

test('who does not want to wait gets in only where there is room and nobody waits', async () => {
  const admission = new Admission(10);
  const leave = admission.tryEnter(6)!;
  expect(admission.tryEnter(5)).toBeNull();
  const waiting = admission.enter(8);
  expect(admission.tryEnter(1)).toBeNull();
  leave();
  (await waiting)();
  expect(admission.tryEnter(10)).not.toBeNull();
});
