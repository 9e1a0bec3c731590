import { expect, test } from 'vitest';
import { UsageError } from '../errors';
import { limitArgs } from './limits';
import { memoryArgs } from './memory';
import { globalArgs, workArgs } from './output';
import { parseCommandLine } from './parse';
import { samplingArgs } from './sampling';
import { splitArgs } from './shard';

const groups = { limits: limitArgs, memory: memoryArgs, sampling: samplingArgs, output: workArgs, global: globalArgs };
const parse = (...argv: string[]) => parseCommandLine(argv, groups);

test('values come under the library’s names and in its types', () => {
  const { positionals, values } = parse(
    'model',
    '--memory=4GB',
    '--context',
    '512',
    'a prompt',
    '--stop',
    '\n',
    '--stop=END',
    '--top-p',
    '0.9',
    '--ignore-eos',
    '-q',
  );
  expect(positionals).toEqual(['model', 'a prompt']);
  expect(values).toEqual({
    limits: { stop: ['\n', 'END'], ignoreEos: true },
    memory: { memory: 4e9, contextLength: 512 },
    sampling: { topP: 0.9 },
    output: { quiet: true },
    global: {},
  });
});

test('the last of several values counts, and everything after -- is no option', () => {
  const { positionals, values } = parse('--seed', '1', '--seed=2', '--', '--not-an-option', '-x');
  expect(values.sampling).toEqual({ seed: 2 });
  expect(positionals).toEqual(['--not-an-option', '-x']);
});

test('a negative number is a value', () => {
  expect(parse('--temperature', '-1').values.sampling).toEqual({ temperature: -1 });
});

test('a switch may stand for a value of the library', () => {
  const { values } = parseCommandLine(['--delete-source-after-verify', '--dtype', 'bfloat16'], { split: splitArgs });
  expect(values.split).toEqual({ deleteSource: 'after-verify', dtype: 'bfloat16' });
});

test.each([
  [['--temprature', '1'], '--temperature'],
  [['--max-tokens', '1'], '--max-new-tokens'],
  [['--weights-memroy=1GB'], '--weights-memory'],
  [['--mem', '1GB'], '--memory'],
  [['--xyzzy'], undefined],
  [['-x'], undefined],
])('%j is unknown; %s was meant', (argv, suggestion) => {
  const error = thrownBy(() => parse(...argv));
  expect(UsageError.isInstance(error) && error.suggestion).toBe(suggestion);
});

test.each([
  [['--memory']],
  [['--memory', '--json']],
  [['--memory', '4XB']],
  [['--memory', '0']],
  [['--context', 'many']],
  [['--temperature', '']],
  [['--json=yes']],
])('%j is refused', (argv) => {
  expect(thrownBy(() => parse(...argv))).toHaveProperty('code', expect.stringMatching(/^ERR_(USAGE|OPTION)$/));
});

function thrownBy(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}
