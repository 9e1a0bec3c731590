import { expect, test } from 'vitest';
import { seededRandom } from '../random';
import { type Sampling, sample, targetDistribution } from '../sampling';
import { LookaheadRandom } from './lookahead-random';

// A model of one state, the last token: what it says next, and what a worse model says.
const VOCABULARY = 5;
const logitsAfter = (seed: number) => {
  const random = seededRandom(seed);
  return Array.from({ length: VOCABULARY }, () =>
    Float32Array.from({ length: VOCABULARY }, () => 2.5 * random.next() - 1),
  );
};
const TARGET = logitsAfter(1);
const DRAFT = logitsAfter(1).map((row, i) => row.map((score, id) => score + 0.6 * logitsAfter(2)[i]![id]!));

const sampling: Sampling = {
  method: 'random',
  repetitionPenalty: 1.2,
  temperature: 0.8,
  topK: 4,
  topP: 0.97,
  minP: 0.02,
};

/** Tokens of a pass that verifies `drafted`, as a generation takes them. */
function verify(text: number[], drafted: readonly number[], random: LookaheadRandom): number {
  for (let right = 0; ; right++) {
    const id = sample(TARGET[text.at(-1)!]!, text, sampling, random);
    text.push(id);
    if (id !== drafted[right]) return right;
  }
}

/** Drafts from the worse model, by the numbers the text will be drawn with. */
function fromModel(text: readonly number[], random: LookaheadRandom): number[] {
  const guess = [...text];
  for (let k = 0; k < 3; k++) {
    guess.push(sample(DRAFT[guess.at(-1)!]!, guess, sampling, { next: () => random.peek(k) }));
  }
  return guess.slice(text.length);
}

const DRAFTERS = {
  'a model': fromModel,
  'a fixed guess': () => [2, 3, 1],
};

test.each(Object.entries(DRAFTERS))('texts drafted by %s are distributed as texts without drafts', (_, draft) => {
  const length = 3;
  const draws = 20_000;
  const counts = new Map<string, number>();
  let right = 0;
  for (let seed = 0; seed < draws; seed++) {
    const random = new LookaheadRandom(seededRandom(seed));
    const text = [0];
    while (text.length <= length) right += verify(text, draft(text, random), random);
    const key = text.slice(1, 1 + length).join();
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  expect(right / draws).toBeGreaterThan(0.3);
  let chi = 0;
  let cells = 0;
  let seen = 0;
  for (const [key, probability] of texts([0], length)) {
    const expected = probability * draws;
    const count = counts.get(key) ?? 0;
    seen += count;
    // Cells that are hardly ever met say nothing.
    if (expected < 5) continue;
    chi += (count - expected) ** 2 / expected;
    cells++;
  }
  // No text that the filters rule out.
  expect(seen).toBe(draws);
  // Chi-square is about normal with mean n and variance 2n: this is passed by chance once in some thousand seeds.
  expect(cells).toBeGreaterThan(20);
  expect(chi).toBeLessThan(cells + 3.5 * Math.sqrt(2 * cells));
});

test('a like model that draws by the same numbers is right far more often than one that draws by its own', () => {
  let together = 0;
  let apart = 0;
  for (let seed = 0; seed < 5000; seed++) {
    const random = new LookaheadRandom(seededRandom(seed));
    const own = new LookaheadRandom(seededRandom(seed + 1e6));
    together += verify([0], fromModel([0], random), random);
    const other = new LookaheadRandom(seededRandom(seed));
    apart += verify([0], fromModel([0], own), other);
  }
  expect(together).toBeGreaterThan(1.8 * apart);
});

/** Every text of so many tokens behind `text`, with its probability. */
function* texts(text: readonly number[], length: number): Generator<[string, number]> {
  if (length === 0) {
    yield [text.slice(1).join(), 1];
    return;
  }
  for (const { id, probability } of targetDistribution(TARGET[text.at(-1)!]!, text, sampling)) {
    for (const [key, rest] of texts([...text, id], length - 1)) yield [key, probability * rest];
  }
}
