import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { runCommandLine } from '../main';
import { airllm, FakeIo } from '../testing/fake-io';
import { serveModel } from '../testing/hub';
import { tinyModel } from '../testing/tiny-model';

const SAY = ['Hello', '-q', '--max-new-tokens', '3', '--temperature', '0'];

describe('airllm pull', () => {
  test('brings what a run needs, once, and says where', async () => {
    const { server, cacheDir } = await serveModel(tinyModel());
    const { code, stdout, stderr } = await airllm(['pull', 'org/name']);
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: expect.stringMatching(/^downloading org\/name: 277 kB in 4 files\n/),
    });
    expect(stderr).toMatch(/downloading 100 % 277 kB of 277 kB/);
    const [dir] = stdout.split(': 4 files, 277 kB, 277 kB downloaded (');
    expect(existsSync(path.join(dir!, 'model.safetensors'))).toBe(true);
    const sent = server.bytesSent;
    const again = JSON.parse((await airllm(['pull', 'org/name', '--json', '-q'])).stdout);
    expect(again).toMatchObject({ repo: 'org/name', dir, bytesReceived: 0 });
    expect(server.bytesSent).toBe(sent);
    expect((await airllm(['ls'])).stdout).toMatch(/^org\/name +277 kB +safetensors +main \(/);
    await server.close();
    expect((await airllm(['run', 'org/name', ...SAY])).code).toBe(0);
    expect((await airllm(['rm', 'org/name'])).code).toBe(0);
    expect(existsSync(path.join(cacheDir, 'models--org--name'))).toBe(false);
  });

  test('takes named files only', async () => {
    await serveModel(tinyModel());
    const { stdout } = await airllm(['pull', 'org/name', '--include', 'tokenizer*', '--json', '-q']);
    expect(JSON.parse(stdout).files.map(({ path }: { path: string }) => path)).toEqual([
      'tokenizer.json',
      'tokenizer_config.json',
    ]);
    const wrong = await airllm(['pull', 'org/name', '--include', '*.bin']);
    expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining('model.safetensors') });
  });

  test('goes on after Ctrl-C', async () => {
    const { server } = await serveModel(tinyModel());
    const held = server.fault({ route: 'cdn', fault: { kind: 'stall', afterBytes: 1000 } });
    const io = new FakeIo();
    const running = runCommandLine(['pull', 'org/name'], io);
    await io.stderr.until(/downloading/);
    io.raise('SIGINT');
    expect(await running).toBe(130);
    expect(io.stderr.text).toContain('the same command goes on from here');
    held();
    expect((await airllm(['pull', 'org/name', '-q'])).code).toBe(0);
  });

  test.each([
    ['org/nmae', {}, 1, /no model org\/nmae.*did you mean org\/name/is],
    ['org/name@v9', {}, 1, /has no revision v9/],
    ['./name', {}, 2, /is no repository/],
    ['org/name', { gated: 'manual' }, 1, /gated.*HF_TOKEN/s],
  ] as const)('%s: what is wrong, and what to do', async (model, options, code, message) => {
    const { cacheDir } = await serveModel(tinyModel(), options);
    if (code === 1 && !('gated' in options)) await airllm(['pull', 'org/name', '-q']);
    expect(await airllm(['pull', model])).toMatchObject({ code, stdout: '', stderr: expect.stringMatching(message) });
    expect(existsSync(cacheDir)).toBe(true);
  });

  test('without a network', async () => {
    const { server } = await serveModel(tinyModel());
    const offline = await airllm(['pull', 'org/name', '--offline']);
    expect(offline).toMatchObject({ code: 1, stderr: expect.stringContaining('HF_HUB_OFFLINE') });
    server.fault({ fault: { kind: 'status', status: 429, headers: { 'retry-after': '3600' } } });
    const limited = await airllm(['pull', 'org/name']);
    expect(limited).toMatchObject({ code: 4, stderr: expect.stringContaining('it resumes where it stopped') });
  });
});

test('--dry-run says what would come, and writes nothing', async () => {
  const { server, cacheDir } = await serveModel(tinyModel());
  const before = await airllm(['pull', 'org/name', '--dry-run']);
  expect(before).toMatchObject({ code: 0, stderr: '' });
  expect(before.stdout).toMatch(/^model\.safetensors +273 kB$/m);
  expect(before.stdout).toMatch(/^4 files, 277 kB: 277 kB to download, .* free$/m);
  expect([server.bytesSent, readdirSync(cacheDir)]).toEqual([0, []]);
  await airllm(['pull', 'org/name', '-q', '--include', 'model*']);
  const after = await airllm(['pull', 'org/name', '--dry-run']);
  expect(after.stdout).toMatch(/^model\.safetensors +273 kB +here$/m);
  const { bytesTotal, bytesToDownload } = JSON.parse(
    (await airllm(['pull', 'org/name', '--dry-run', '--json'])).stdout,
  );
  expect(bytesTotal - bytesToDownload).toBeGreaterThan(270_000);
});

describe('a model that is not here', () => {
  test('is run while it comes, and is then here', async () => {
    const { server } = await serveModel(tinyModel());
    const here = tinyModel();
    const { code, stdout, stderr } = await airllm(['run', 'org/name', ...SAY.filter((each) => each !== '-q')]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: (await airllm(['run', here, ...SAY])).stdout });
    expect(stderr).toMatch(/downloading +100 % 277 kB of 277 kB/);
    await server.close();
    expect((await airllm(['run', 'org/name', ...SAY])).stdout).toBe(stdout);
  });

  test('on a terminal the bar is gone before the answer begins', async () => {
    await serveModel(tinyModel());
    const io = new FakeIo({ terminal: true });
    await runCommandLine(['run', 'org/name', 'Hello', '--max-new-tokens', '3'], io);
    const lines = io.stderr.text.split('\r');
    const last = lines.findLastIndex((line) => line.includes('downloading'));
    expect(last).toBeGreaterThan(0);
    expect(lines[last + 1]!.startsWith('\u001b[K')).toBe(true);
  });

  test('is inspected and estimated before anything large is read', async () => {
    const { server } = await serveModel(tinyModel());
    const inspected = JSON.parse((await airllm(['inspect', 'org/name', '--json'])).stdout);
    expect(inspected).toMatchObject({
      layout: 'single',
      download: { repo: 'org/name', files: 4 },
      parameters: { exact: true },
    });
    const { stdout, code } = await airllm([
      'estimate',
      'org/name',
      '--no-measure',
      '--weights-memory',
      '160KB',
      '--context',
      '64',
    ]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^download +277 kB in 4 files, of which \d+ bytes are here$/m);
    expect(stdout).toMatch(/^disk +27\d kB needed, .* free$/m);
    const local = tinyModel();
    const same = ['--weights-memory', '160KB', '--context', '64', '--no-measure', '--json'];
    const { streamedPerPass, floor } = JSON.parse((await airllm(['estimate', 'org/name', ...same])).stdout);
    const expected = JSON.parse((await airllm(['estimate', local, ...same])).stdout);
    expect(streamedPerPass).toBe(expected.streamedPerPass);
    expect(floor.weightsMemory).toBe(expected.floor.weightsMemory);
    // Three looks, each at the first 64 KiB of the weights.
    expect(server.bytesSent).toBeLessThan(210_000);
  });

  test('and that nobody has is told as such', async () => {
    await serveModel(tinyModel());
    for (const command of ['estimate', 'inspect', 'run']) {
      expect(await airllm([command, 'org/none', ...(command === 'run' ? ['Hello'] : [])])).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('org/none'),
      });
    }
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    expect(await airllm(['inspect', 'org/name'])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('the network is not to be used'),
    });
  });
});
