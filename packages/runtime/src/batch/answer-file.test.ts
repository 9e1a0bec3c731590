import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FormatError } from '@airllm/loader';
import { TargetLockedError } from '@airllm/shard';
import { describe, expect, onTestFinished, test } from 'vitest';
import { canMount } from '../../../../.ci/mount';
import { temporaryFolder } from '../testing/temporary';
import { AnswerFile } from './answer-file';
import { AnswerFileError } from './answer-file-error';
import { answerOf, refusalOf } from './answers';
import { duplicate, LineProblem } from './errors';

const answer = (customId: string, text = 'Grüße\u2028🐘\n') => answerOf({ customId, model: 'm' }, () => ({ text }));

function linesOf(path: string): unknown[] {
  const text = readFileSync(path, 'utf8');
  expect(text === '' || text.endsWith('\n')).toBe(true);
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
}

test('a folder is named where a file is expected', async () => {
  const dir = join(temporaryFolder(), 'out.jsonl');
  mkdirSync(dir);
  const error = await AnswerFile.open(dir).catch((each: unknown) => each);
  expect(AnswerFileError.isInstance(error)).toBe(true);
  expect((error as Error).message).toContain(dir);
});

test('answers are appended, and known when the file is opened again', async () => {
  const path = join(temporaryFolder(), 'out.jsonl');
  const answers = [
    answer('a'),
    refusalOf(null, 2, new LineProblem('invalid_json', 'x')),
    refusalOf('a', 3, duplicate('a')),
    refusalOf('bad', 4, new LineProblem('invalid_request', 'x')),
  ];
  const first = await AnswerFile.open(path);
  for (const each of answers) await first.append(each);
  await first.close();
  expect(linesOf(path)).toEqual(answers);
  const again = await AnswerFile.open(path);
  expect(again.found).toBe(4);
  expect(['a', 'bad', 'c'].map((id) => again.answered.isAnswered(id))).toEqual([true, true, false]);
  expect([1, 2, 3, 4].map((line) => again.answered.isLineAnswered(line))).toEqual([false, true, true, false]);
  await again.append(answer('c'));
  expect(again.answered.isAnswered('c')).toBe(true);
  await again.close();
  expect(linesOf(path)).toHaveLength(5);
});

test('a torn last line is cut off wherever it broke', async () => {
  const dir = temporaryFolder();
  const whole = join(dir, 'whole.jsonl');
  const file = await AnswerFile.open(whole);
  await file.append(answer('a'));
  await file.append(answer('b'));
  await file.close();
  const bytes = readFileSync(whole);
  const path = join(dir, 'torn.jsonl');
  for (let length = bytes.length - 1; length >= 0; length -= 5) {
    writeFileSync(path, bytes.subarray(0, length));
    const torn = await AnswerFile.open(path);
    const firstEnds = bytes.indexOf(10) + 1;
    expect([torn.found, torn.answered.isAnswered('b')]).toEqual([length >= firstEnds ? 1 : 0, false]);
    await torn.close();
    expect(statSync(path).size).toBe(torn.found * firstEnds);
  }
});

test('blocks of zeros that a crash of the machine left behind are cut off', async () => {
  const path = join(temporaryFolder(), 'out.jsonl');
  for (const before of ['', `${JSON.stringify(answer('a'))}\n`]) {
    writeFileSync(path, before);
    truncateSync(path, before.length + 4096);
    await (await AnswerFile.open(path)).close();
    expect(readFileSync(path, 'utf8')).toBe(before);
  }
});

test.each([
  ['a batch’s input', '{"custom_id":"a","url":"/v1/completions","body":{}}\n'],
  ['no line break', '{"custom_id":"a"}'],
  ['other text', 'Dear diary\n'],
  [
    'a broken line among answers',
    `${JSON.stringify(answer('a'))}\n{"id":"batch_req_\n${JSON.stringify(answer('b'))}\n`,
  ],
])('a file of something else is refused and left alone: %s', async (_, content) => {
  const path = join(temporaryFolder(), 'out.jsonl');
  writeFileSync(path, content);
  const error = await AnswerFile.open(path).catch((reason) => reason);
  expect(FormatError.isInstance(error) && error.file).toBe(path);
  expect(readFileSync(path, 'utf8')).toBe(content);
  expect(existsSync(`${path}.lock`)).toBe(false);
});

test('two at once are kept apart', async () => {
  const path = join(temporaryFolder(), 'out.jsonl');
  const first = await AnswerFile.open(path);
  const error = await AnswerFile.open(path).catch((reason) => reason);
  expect(TargetLockedError.isInstance(error)).toBe(true);
  await first.close();
  await (await AnswerFile.open(path)).close();
});

test('a place where nothing can be written is named', async () => {
  const dir = temporaryFolder();
  const path = join(dir, 'missing', 'out.jsonl');
  const error = await AnswerFile.open(path).catch((reason) => reason);
  expect(AnswerFileError.isInstance(error) && error.file).toBe(path);
});

describe.skipIf(!canMount())('a full drive', () => {
  test('loses no answer that was written, and takes the next ones once there is room', async () => {
    const drive = join(temporaryFolder(), 'drive');
    mkdirSync(drive);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', drive]);
    onTestFinished(() => void execFileSync('umount', [drive]));
    const path = join(drive, 'out.jsonl');
    const ballast = join(drive, 'ballast');
    writeFileSync(ballast, Buffer.alloc(16 << 10));
    const file = await AnswerFile.open(path);
    let error: unknown;
    let count = 0;
    for (; error === undefined && count < 1000; count++) {
      error = await file.append(answer(`${count}`, 'x'.repeat(700))).catch((reason) => reason);
    }
    expect(AnswerFileError.isInstance(error) && (error.cause as NodeJS.ErrnoException).code).toBe('ENOSPC');
    expect(linesOf(path)).toHaveLength(count - 1);
    truncateSync(ballast, 0);
    await file.append(answer('late'));
    await file.close();
    expect(linesOf(path)).toHaveLength(count);
    // And with a torn line that could not be taken back.
    appendFileSync(path, '{"id":"batch_req_');
    const again = await AnswerFile.open(path);
    expect([again.found, again.answered.isAnswered('late')]).toEqual([count, true]);
    await again.close();
  });
});
