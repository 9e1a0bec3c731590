import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../../testing/temporary';
import { isSameBoot } from '../cache/boot-id';
import { Journal, parseJournal } from './journal';

const ETAG = 'e'.repeat(64);
const STATE = Buffer.from('a state');
const NOTHING = { ranges: [], hashed: 0, hashState: undefined };
const open = (file: string, size = 1000) => Journal.open(file, ETAG, size);

async function stateOf(file: string, size?: number) {
  const { journal, state } = await open(file, size);
  await journal.close();
  return state;
}

test('a journal knows after a kill what was written and hashed', async () => {
  const file = join(temporaryFolder(), 'journal');
  const { journal, state } = await open(file);
  expect(state).toEqual(NOTHING);
  journal.written(0, 100);
  journal.written(500, 100);
  journal.written(100, 50);
  journal.hashed(120, STATE);
  await journal.flush();
  // Not closed, as a killed process leaves it, and with a torn line.
  appendFileSync(file, 'w 700 1');
  const second = await open(file);
  const expected = {
    ranges: [
      { from: 0, to: 150 },
      { from: 500, to: 600 },
    ],
    hashed: 120,
    hashState: STATE,
  };
  expect(second.state).toEqual(expected);
  await journal.close();
  second.journal.written(600, 10);
  await second.journal.close();
  expect((await stateOf(file)).ranges).toEqual([
    { from: 0, to: 150 },
    { from: 500, to: 610 },
  ]);
});

test('after a new start of the machine only the checkpoint counts', async () => {
  const file = join(temporaryFolder(), 'journal');
  const { journal } = await open(file);
  journal.written(0, 100);
  journal.beginCheckpoint();
  journal.written(100, 100);
  const durable = { ranges: [{ from: 0, to: 100 }], hashed: 50, hashState: STATE };
  await journal.checkpoint(durable);
  journal.written(200, 100);
  await journal.close();
  // What came after the checkpoint had begun is there, once it is this boot.
  expect((await stateOf(file)).ranges).toEqual([{ from: 0, to: 300 }]);
  writeFileSync(file, readFileSync(file, 'utf8').replace(/"boot":"[^"]*"/, '"boot":"earlier"'));
  const { journal: later, state } = await open(file);
  expect(state).toEqual(durable);
  later.written(700, 1);
  await later.close();
  expect((await stateOf(file)).ranges).toEqual([
    { from: 0, to: 100 },
    { from: 700, to: 701 },
  ]);
});

test('lines that come while a checkpoint is written are not lost', async () => {
  const SIZE = 2 ** 40;
  const file = join(temporaryFolder(), 'journal');
  const { journal } = await open(file, SIZE);
  let checkpoint: Promise<void> | undefined;
  let checkpoints = 0;
  let at = 0;
  for (; checkpoints < 5; at += 100) {
    journal.written(at, 100);
    if (at % 300 === 0) await new Promise((resolve) => setImmediate(resolve));
    if (checkpoint) continue;
    const state = { ranges: [{ from: 0, to: at + 100 }], hashed: 0, hashState: undefined };
    journal.beginCheckpoint();
    checkpoint = new Promise<void>((resolve) => setImmediate(resolve))
      .then(() => journal.checkpoint(state))
      .finally(() => {
        checkpoints++;
        checkpoint = undefined;
      });
  }
  await checkpoint;
  await journal.close();
  expect(await stateOf(file, SIZE)).toMatchObject({ ranges: [{ from: 0, to: at }] });
});

test.each([
  ['another blob', '{"airllm":1,"etag":"f","size":1000,"boot":"b","ranges":[],"hashed":0}'],
  ['another length', `{"airllm":1,"etag":"${ETAG}","size":9,"boot":"b","ranges":[],"hashed":0}`],
  ['another version', `{"airllm":2,"etag":"${ETAG}","size":1000,"boot":"b","ranges":[],"hashed":0}`],
  ['ranges beyond the end', `{"airllm":1,"etag":"${ETAG}","size":1000,"boot":"b","ranges":[[0,1001]],"hashed":0}`],
  ['no JSON', '{"airllm":1'],
  ['nothing', ''],
])('a journal of %s is not believed', (_, line) => {
  expect(parseJournal(`${line}\nw 0 10\n`, ETAG, 1000, 'b')).toEqual({ state: NOTHING, usable: 0 });
});

test('a start of the machine is known by its id, or by its time within the drift of clocks', () => {
  expect(isSameBoot('a-b', 'a-b')).toBe(true);
  expect(isSameBoot('a-b', 'a-c')).toBe(false);
  expect(isSameBoot('t1000', 't1004')).toBe(true);
  expect(isSameBoot('t1000', 't1060')).toBe(false);
});
