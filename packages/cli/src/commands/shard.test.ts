import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { airllm } from '../testing/fake-io';
import { serveModel } from '../testing/hub';
import { temporaryFolder } from '../testing/temporary';
import { tinyModel } from '../testing/tiny-model';

// Where copies were written is noted there.
beforeEach(() => {
  vi.stubEnv('AIRLLM_CACHE', temporaryFolder());
});
afterEach(() => {
  vi.unstubAllEnvs();
});

test('a split model verifies, and says the same', async () => {
  const dir = tinyModel();
  const out = path.join(temporaryFolder(), 'out');
  const split = await airllm(['shard', dir, out]);
  expect(split).toMatchObject({ code: 0, stdout: expect.stringContaining(`${out}: `) });
  expect(split.stderr).toMatch(/^splitting .*100 % .*\n$/ms);
  expect(await airllm(['verify', out, '-q'])).toMatchObject({ code: 0, stderr: '' });
  const say = (model: string) => airllm(['run', model, 'Hello', '-q', '--max-new-tokens', '9']);
  expect(await say(out)).toEqual(await say(dir));

  const again = await airllm(['shard', dir, out, '--json', '-q']);
  expect(JSON.parse(again.stdout)).toMatchObject({ dir: out, filesWritten: 0, bytesWritten: 0 });
  const other = await airllm(['shard', dir, out, '--dtype', 'bfloat16', '-q']);
  expect(other).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('--restart') });
  const restarted = await airllm(['shard', dir, out, '--dtype', 'bfloat16', '--restart', '--json', '-q']);
  expect(restarted.code).toBe(0);
  expect(JSON.parse((await airllm(['inspect', out, '--json'])).stdout).dtypes).toMatchObject([{ dtype: 'BF16' }]);
});

test('a compressed copy says what it lost, and runs', async () => {
  const out = path.join(temporaryFolder(), 'out');
  const { code, stderr } = await airllm(['shard', tinyModel(), out, '--compress', '8bit']);
  expect(code).toBe(0);
  expect(stderr).toMatch(/\d+ matrices compressed; error 0\.\d+ % of the weights in the mean, at most 0\.\d+ %/);
  const again = JSON.parse(
    (await airllm(['shard', tinyModel(), `${out}-2`, '--compress', '4bit', '--json', '-q'])).stdout,
  );
  expect(Object.keys(again.errors).length).toBeGreaterThan(7);
  const { dtypes } = JSON.parse((await airllm(['inspect', out, '--json'])).stdout);
  expect(dtypes.map(({ dtype }: { dtype: string }) => dtype)).toEqual(expect.arrayContaining(['8-bit', 'F32']));
  expect((await airllm(['run', out, 'Hello', '-q', '--max-new-tokens', '4'])).code).toBe(0);
  expect((await airllm(['shard', tinyModel(), out, '--compress', '5bit'])).code).toBe(2);
});

test('damage is named, and is a failure', async () => {
  const out = path.join(temporaryFolder(), 'out');
  await airllm(['shard', tinyModel(), out, '-q']);
  const name = readdirSync(out).find((file) => /layers\.1\.safetensors$|layers\.01\.safetensors$/.test(file))!;
  const bytes = readFileSync(path.join(out, name));
  bytes[bytes.length - 200]! ^= 1;
  writeFileSync(path.join(out, name), bytes);
  const { code, stdout, stderr } = await airllm(['verify', out, '-q']);
  expect(code).toBe(1);
  expect(stdout).toMatch(new RegExp(`^${name}: "model\\.layers\\.1\\..*\\n$`));
  expect(stderr).toMatch(/^error: .*split again/);
  const { problems, ok } = JSON.parse((await airllm(['verify', out, '-q', '--json'])).stdout);
  expect({ ok, problems }).toMatchObject({ ok: false, problems: [{ file: name }] });
});

test('the source goes only when it is asked to', async () => {
  const dir = tinyModel();
  const out = path.join(temporaryFolder(), 'out');
  await airllm(['shard', dir, out, '-q']);
  expect(readdirSync(dir)).toContain('model.safetensors');
  const { code, stderr } = await airllm(['shard', dir, out, '--delete-source-after-verify']);
  expect(code).toBe(0);
  expect(stderr).toContain('verified; removed 1 files of the source');
  expect(readdirSync(dir)).not.toContain('model.safetensors');
});

test('a repository is split while it is downloaded, and again from the cache', async () => {
  const { server } = await serveModel(tinyModel());
  const out = path.join(temporaryFolder(), 'out');
  const { code, stderr } = await airllm(['shard', 'org/name', out]);
  expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringContaining('downloading org/name') });
  expect((await airllm(['ls'])).stdout).toMatch(/split +from org\/name@/);
  const sent = server.bytesSent;
  expect((await airllm(['shard', 'org/name', `${out}-2`, '-q'])).code).toBe(0);
  expect(server.bytesSent).toBe(sent);
  expect((await airllm(['verify', out, '-q'])).code).toBe(0);
});
