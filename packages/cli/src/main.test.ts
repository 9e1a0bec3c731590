import { expect, test } from 'vitest';
import packageJson from '../package.json';
import { runCommandLine } from './main';
import { airllm, FakeIo } from './testing/fake-io';
import { tinyModel } from './testing/tiny-model';

test.each([['--version'], ['-V'], ['run', '--version']])('the version, by %s %s', async (...argv) => {
  expect(await airllm(argv.filter(Boolean))).toEqual({ code: 0, stdout: `${packageJson.version}\n`, stderr: '' });
});

test.each([
  [['rum', 'model'], /^error: unknown command "rum"; did you mean run\?\nsee airllm --help\n$/],
  [['--verison'], /^error: unknown option --verison; did you mean --version\?\n/],
  [['run'], /^error: <model> is missing: airllm run <model> \[prompt\] \[options\]\nsee airllm run --help\n$/],
  [['shard', 'model'], /^error: <out> is missing/],
  [['run', 'm', 'two', 'words'], /put quotes around the prompt/],
  [['run', 'm', 'x', '--executor', 'gpu'], /^error: --executor: expected auto, native, onnx, reference, found "gpu"\n/],
  [['run', 'm', 'x', '--raw', '--system', 'y'], /^error: --system needs the chat template/],
  [['run', 'm', 'x', '--top-logprobs', '2'], /^error: --top-logprobs needs --json/],
  [['run', '', 'x'], /^error: <model> is empty: /],
  [['shard', 'm', ' '], /^error: <out> is empty: /],
  [['run', 'm', '- a list'], /^error: unknown option -; -- goes before an argument that begins with a dash\n/],
  [['inspect', 'm', '--context', '0'], /^error: --context: expected a whole number above 0, found 0\n/],
])('%j is wrong usage', async (argv, message) => {
  const { code, stdout, stderr } = await airllm(argv);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toMatch(message);
});

// The library checks these; the command line says them in its own words.
test.each([
  [['--temperature', '-1'], /^error: --temperature: expected a number of at least 0, found -1\n/],
  [['--max-new-tokens', '0'], /^error: --max-new-tokens: expected a whole number of at least 1, found 0\n/],
  [['--context', '0'], /^error: --context: expected a whole number of at least 1, found 0\n/],
  [['--stop', ''], /^error: --stop: /],
  [['--threads', '-3'], /^error: --threads: /],
])('%j is named by its flag', async (options, message) => {
  const { code, stdout, stderr } = await airllm(['run', tinyModel(), 'x', '-q', ...options]);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toMatch(message);
});

test('a model that is not there is a failure, in one line', async () => {
  const { code, stdout, stderr } = await airllm(['run', './nowhere', 'x']);
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).toMatch(/^error: .*nowhere.*\n$/);
});

test('what the system says of a file is said in words', async () => {
  const { code, stderr } = await airllm(['batch', tinyModel(), './nowhere.jsonl', 'out.jsonl']);
  expect(code).toBe(1);
  expect(stderr).toBe('error: ./nowhere.jsonl: there is no such file or folder (ENOENT)\n');
});

test('behind -- there is no option, nor a call for help', async () => {
  const { code, stdout } = await airllm(['inspect', '--', '--help']);
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
});

test('what does not fit the context is said by flags', async () => {
  const { code, stderr } = await airllm(['run', tinyModel(), 'Hello', '-q', '--context', '8', '--max-new-tokens', '8']);
  expect(code).toBe(1);
  expect(stderr).toMatch(
    /^error: \d+ prompt tokens and 8 new ones do not fit a context of 8\n.*--max-new-tokens.*--context\n$/,
  );
});

test('--debug shows where an error came from', async () => {
  const { code, stderr } = await airllm(['run', './nowhere', 'x', '--debug']);
  expect(code).toBe(1);
  expect(stderr).toMatch(/\n {4}at .*resolve-?model/i);
});

test.each([
  ['ENOSPC', 1, /^error: ENOSPC: no room\n$/],
  ['EPIPE', 141, /^$/],
])('a failing stdout (%s) ends with %i, also where only help was printed', async (code, exitCode, stderr) => {
  const io = new FakeIo();
  io.stdout._write = (_chunk, _encoding, done) => {
    done(Object.assign(new Error(`${code}: no room`), { code, syscall: 'write' }));
  };
  expect(await runCommandLine(['--help'], io)).toBe(exitCode);
  expect(io.stderr.text).toMatch(stderr);
});
