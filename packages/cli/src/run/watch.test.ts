import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { runCommandLine } from '../main';
import { airllm, FakeIo } from '../testing/fake-io';
import { temporaryFolder } from '../testing/temporary';
import { tinyModel } from '../testing/tiny-model';

interface Event {
  readonly ph: string;
  readonly cat?: string;
  readonly args: { readonly rows?: number; readonly bytes?: number };
}

/** An answer that takes some seconds. */
const LONG = ['--context', '100000', '--max-new-tokens', '90000', '--ignore-eos'];
const endless = () => tinyModel({ config: { max_position_embeddings: 1 << 20 } });

test('a trace of reads, waits, computing and passes, which changes no text', async () => {
  const file = path.join(temporaryFolder(), 'trace.json');
  const argv = [
    'run',
    tinyModel(),
    'Hello',
    '-q',
    '--weights-memory',
    '160KB',
    '--max-new-tokens',
    '4',
    '--ignore-eos',
  ];
  const { stdout } = await airllm([...argv, '--trace', file]);
  expect(stdout).toBe((await airllm(argv)).stdout);
  const { traceEvents } = JSON.parse(readFileSync(file, 'utf8')) as { traceEvents: Event[] };
  const of = (track: string) => traceEvents.filter(({ cat }) => cat === track);
  for (const track of ['read', 'wait', 'compute']) expect(of(track).length).toBeGreaterThan(4);
  expect(of('pass').map(({ args }) => args.rows)).toEqual([5, 1, 1, 1]);
  expect(of('read').every(({ args }) => args.bytes! > 0)).toBe(true);
});

test('a trace that cannot be written is refused before anything is computed', async () => {
  const file = path.join(temporaryFolder(), 'missing', 'trace.json');
  const { code, stdout, stderr } = await airllm(['run', tinyModel(), 'Hello', '--trace', file]);
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).toContain(file);
});

test('an answer that is stopped leaves its trace', async () => {
  const file = path.join(temporaryFolder(), 'trace.json');
  const io = new FakeIo();
  const ended = runCommandLine(['run', endless(), 'Hello', '-q', '--trace', file, ...LONG], io);
  await io.stdout.until(/.{20}/s);
  io.raise('SIGINT');
  expect(await ended).toBe(130);
  expect(JSON.parse(readFileSync(file, 'utf8')).traceEvents.length).toBeGreaterThan(20);
});

describe('figures while it runs', () => {
  const line = /[\d.]+ tokens\/s · [\d.]+ GB\/s · \d+ % waiting for the drive · 100 % resident/;

  test('are lines of stderr where nobody can redraw one', async () => {
    const io = new FakeIo();
    const ended = runCommandLine(['run', endless(), 'Hello', '--stats', ...LONG], io);
    await io.stderr.until(line);
    io.raise('SIGINT');
    expect(await ended).toBe(130);
    expect(io.stdout.text).not.toMatch(line);
    expect(io.stderr.text).not.toContain('\u001b[J');
  });

  test('stand below the answer on a terminal, and go at its end', async () => {
    const io = new FakeIo({ terminal: true });
    const ended = runCommandLine(['run', endless(), 'Hello', '--stats', ...LONG], io);
    await io.stderr.until(line);
    io.raise('SIGINT');
    expect(await ended).toBe(130);
    const drawn = io.stderr.text.search(line);
    // Saved before, and restored after.
    expect(io.stderr.text.lastIndexOf('\u001b7', drawn)).toBeGreaterThan(0);
    expect(io.stderr.text.indexOf('\u001b8', drawn)).toBeGreaterThan(drawn);
    expect(io.stderr.text.lastIndexOf('\u001b[J')).toBeGreaterThan(drawn);
  });

  test('give way to --quiet', async () => {
    const { stderr } = await airllm(['run', tinyModel(), 'Hello', '--stats', '--quiet', '--max-new-tokens', '2']);
    expect(stderr).toBe('');
  });
});
