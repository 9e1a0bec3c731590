import { expect, test } from 'vitest';
import { PromptLookup } from './prompt-lookup';

const choose = () => {
  throw new Error('a lookup chooses nothing');
};
const draft = async (ids: readonly number[], most: number) => new PromptLookup().open().draft({ ids, most, choose });

test('goes on as the text did after the same tokens', async () => {
  expect((await draft([1, 2, 3, 4, 9, 1, 2], 2)).ids).toEqual([3, 4]);
  expect((await draft([1, 2, 3], 4)).ids).toEqual([]);
});

test('the last of equally long matches wins, and the longest of all', async () => {
  expect((await draft([1, 2, 5, 1, 2, 6, 1, 2], 1)).ids).toEqual([6]);
  expect((await draft([7, 1, 2, 5, 8, 1, 2, 6, 7, 1, 2], 1)).ids).toEqual([5]);
});

test('what repeats itself is repeated beyond the end of the text', async () => {
  expect((await draft([5, 1, 2, 3, 1, 2, 3], 7)).ids).toEqual([1, 2, 3, 1, 2, 3, 1]);
});

test('a place that has led right is followed, though a shorter run occurred again later', async () => {
  const source = [10, 11, 12, 13, 14, 15, 16, 17, 18];
  // The run of four tokens 12 to 15 leads elsewhere the second time.
  const prompt = [...source, 12, 13, 14, 15, 99, 98];
  const session = new PromptLookup().open();
  const ids = [...prompt, 10, 11, 12];
  await session.draft({ ids, most: 1, choose });
  for (const next of [13, 14, 15]) {
    ids.push(next);
    await session.draft({ ids, most: 1, choose });
  }
  const fresh = await draft(ids, 1);
  const followed = await session.draft({ ids, most: 1, choose });
  expect(followed).toEqual(fresh);
  expect(followed.ids).toEqual([16]);
});

test('longer matches are of another kind than shorter ones', async () => {
  const kinds = await Promise.all(
    [1, 2, 3, 4, 6, 12, 40].map(async (matched) => {
      const run = Array.from({ length: matched }, (_, i) => i);
      return (await draft([...run, 100, 101, 102, 103, ...run], 1)).trust;
    }),
  );
  expect(kinds).toEqual([1, 2, 3, 4, 5, 6, 7]);
});
