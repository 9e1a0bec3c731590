import type { Delay } from '@airllm/runtime';
import { expect, test } from 'vitest';
import { FakeIo } from '../testing/fake-io';
import { DelayNotes } from './delay-notes';
import { Terminal } from './terminal';

function notes() {
  const io = new FakeIo();
  let now = 0;
  const delays = new DelayNotes(new Terminal(io, new AbortController()), () => now);
  const retry = (attempt: number, waitMs = 2000): Delay => {
    return { type: 'retrying', file: 'model.safetensors', host: 'cdn.example', reason: 'it was cut', attempt, waitMs };
  };
  return {
    delays,
    retry,
    text: () => io.stderr.text,
    later: (ms: number) => {
      now += ms;
    },
  };
}

test('connections that fail together are told once, and again when it goes on', () => {
  const { delays, retry, text, later } = notes();
  for (let connection = 0; connection < 8; connection++) delays.show(retry(1));
  later(2000);
  delays.show(retry(2, 4000));
  delays.show(retry(1));
  delays.show(retry(3, 8000));
  const line = 'model.safetensors: it was cut (cdn.example), trying again in';
  expect(text()).toBe(`${line} 2.0 s\n${line} 4.0 s (2nd time)\n${line} 8.0 s (3rd time)\n`);
});

test('another process is told once for all files', () => {
  const { delays, text } = notes();
  for (const file of ['a', 'b']) delays.show({ type: 'waiting', for: 'download', repo: 'org/name', file });
  delays.show({ type: 'waiting', for: 'conversion', dir: '/copy', pid: 7, host: 'here' });
  expect(text()).toBe(
    'another process is downloading org/name; waiting for it\n' +
      'process 7 on here is converting this model into /copy; waiting for it\n',
  );
});

test('questions about a repository have no file', () => {
  const { delays, text } = notes();
  delays.show({ type: 'retrying', file: undefined, host: 'hub', reason: 'x', attempt: 11, waitMs: 500 });
  expect(text()).toBe('x (hub), trying again in 0.50 s (11th time)\n');
});
