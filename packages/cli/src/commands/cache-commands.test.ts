import { existsSync, mkdirSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { airllm } from '../testing/fake-io';
import { hubCacheWith } from '../testing/hub-cache';
import { temporaryFolder } from '../testing/temporary';
import { tinyModel } from '../testing/tiny-model';

const [MAIN, OLD] = ['a'.repeat(40), 'b'.repeat(40)];

/** A model at two revisions, and a copy whose making was interrupted. */
function cache() {
  const made = hubCacheWith(tinyModel(), { main: MAIN, old: OLD });
  const copy = path.join(made.cacheDir, 'airllm', 'converted', 'model.gguf-0123456789ab');
  mkdirSync(copy, { recursive: true });
  writeFileSync(path.join(copy, 'layer.safetensors'), Buffer.alloc(2000));
  return { ...made, copy, options: ['--cache-dir', made.cacheDir] };
}

test('ls lists revisions with size, format and use, and copies with their state', async () => {
  const { options, dir } = cache();
  const { stdout, code } = await airllm(['ls', ...options]);
  expect(code).toBe(0);
  expect(stdout.split('\n').map((line) => line.replace(/ +/g, ' '))).toEqual([
    'org/name 277 kB safetensors main (aaaaaaa) used just now',
    'org/name 277 kB safetensors old (bbbbbbb) used just now',
    '',
    'model.gguf-0123456789ab 2.00 kB converted, incomplete',
    '',
  ]);
  const { models, converted, sharded } = JSON.parse((await airllm(['ls', ...options, '--json'])).stdout);
  expect(models).toMatchObject([{ repo: 'org/name', dir, snapshots: [{ commit: MAIN }, { commit: OLD }] }]);
  expect(converted).toMatchObject([{ state: 'incomplete', bytes: 2000 }]);
  expect(sharded).toEqual([]);
  expect((await airllm(['ls', '--cache-dir', temporaryFolder()])).stdout).toBe('');
});

test('ls knows what airllm shard wrote, and from what', async () => {
  const { options, snapshot } = cache();
  const out = path.join(temporaryFolder(), 'out');
  expect((await airllm(['shard', snapshot(MAIN), out, '-q', ...options])).code).toBe(0);
  expect((await airllm(['ls', ...options])).stdout).toContain(`from org/name@${MAIN.slice(0, 7)}`);
  expect((await airllm(['show', out, ...options])).stdout).toMatch(/^copy +sharded\nfrom +org\/name@aaaaaaa\n/);
  expect((await airllm(['rm', out, ...options])).stdout).toContain(`removed ${out}, `);
  expect(existsSync(out)).toBe(false);
});

test('rm of a revision keeps what another one needs; --dry-run removes nothing', async () => {
  const { options, dir, snapshot } = cache();
  const line = 'org/name old (bbbbbbb), 40 bytes (277 kB stay, another revision needs them)\n';
  expect((await airllm(['rm', 'org/name@old', ...options, '--dry-run'])).stdout).toBe(`would remove ${line}`);
  expect(existsSync(snapshot(OLD))).toBe(true);
  expect((await airllm(['rm', 'org/name@bbbb', ...options])).stdout).toBe(`removed ${line}`);
  expect(existsSync(snapshot(OLD))).toBe(false);
  expect((await airllm(['run', 'org/name', 'Hello', '-q', '--max-new-tokens', '2', ...options])).code).toBe(0);
  const { removed } = JSON.parse((await airllm(['rm', 'org/name', ...options, '--json'])).stdout);
  expect(removed).toMatchObject([{ what: 'org/name' }]);
  expect(existsSync(dir)).toBe(false);
});

test('rm of a model takes the copies made from it along', async () => {
  const { options, copy, snapshot, cacheDir } = cache();
  const record = { source: snapshot(MAIN), files: [] };
  writeFileSync(path.join(copy, 'airllm-source.json'), JSON.stringify(record));
  expect((await airllm(['rm', 'org/name', ...options])).stdout).toContain(copy);
  expect(existsSync(copy)).toBe(false);
  expect((await airllm(['ls', '--cache-dir', cacheDir])).stdout).toBe('');
});

test('rm of a model takes a copy of it along whose making was interrupted, and one of a GGUF file', async () => {
  const { options, dir, cacheDir } = cache();
  const converted = path.join(cacheDir, 'airllm', 'converted');
  const made = (name: string) => {
    const copy = path.join(converted, name);
    mkdirSync(copy);
    return copy;
  };
  const begun = made('org--name-0123456789ab');
  const other = made('org--name-GGUF-0123456789ab');
  const ofFile = made('of-a-file');
  const source = path.join(dir, 'blobs', readdirSync(path.join(dir, 'blobs'))[0]!);
  writeFileSync(path.join(ofFile, 'airllm-source.json'), JSON.stringify({ source, files: [] }));
  expect((await airllm(['ls', ...options])).stdout).toMatch(/of-a-file .* from org\/name@/);
  const { stdout } = await airllm(['rm', 'org/name', ...options]);
  for (const copy of [begun, ofFile]) expect(stdout).toContain(`removed ${copy}, `);
  expect([begun, ofFile, other].map((copy) => existsSync(copy))).toEqual([false, false, true]);
});

test('rm of a copy leaves its source', async () => {
  const { options, copy, dir } = cache();
  expect((await airllm(['rm', 'model.gguf-0123456789ab', ...options])).code).toBe(0);
  expect(existsSync(copy)).toBe(false);
  expect(existsSync(dir)).toBe(true);
});

test('show tells revisions, files and what is missing', async () => {
  const { options, snapshot } = cache();
  rmSync(path.join(snapshot(OLD), 'model.safetensors'));
  const { stdout, code } = await airllm(['show', 'org/name', ...options]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^model +org\/name$/m);
  expect(stdout).toMatch(/^main \(aaaaaaa\): safetensors, llama, [\d.]+K parameters, 277 kB$/m);
  expect(stdout).toMatch(/^ +model\.safetensors +273 kB$/m);
  expect(stdout).toMatch(/^old \(bbbbbbb\): no weights, llama, /m);
  const report = JSON.parse((await airllm(['show', 'org/name@main', ...options, '--json'])).stdout);
  expect(report.snapshots).toHaveLength(1);
  expect(report.descriptions[MAIN].parameters.exact).toBe(true);
  expect((await airllm(['show', 'model.gguf-0123456789ab', ...options])).stdout).toMatch(
    /^copy +converted, incomplete$/m,
  );
});

test('an unknown name is refused with the nearest one', async () => {
  const { options } = cache();
  for (const command of ['rm', 'show']) {
    const wrong = await airllm([command, 'org/nmae', ...options]);
    expect(wrong).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('did you mean org/name') });
    expect((await airllm([command, 'org/name@nope', ...options])).stderr).toContain(
      'there is main, aaaaaaa, old, bbbbbbb',
    );
  }
  expect((await airllm(['rm'])).code).toBe(2);
});

describe('GGUF files of one repository', () => {
  /** Two quantisations, one of them in parts; the bytes make no model. */
  function ggufs() {
    const source = temporaryFolder();
    const files = {
      'name-Q4_K_M.gguf': 4000,
      'name-Q8_0-00001-of-00002.gguf': 8000,
      'name-Q8_0-00002-of-00002.gguf': 500,
    };
    for (const [name, bytes] of Object.entries(files))
      writeFileSync(path.join(source, name), Buffer.alloc(bytes, bytes));
    const made = hubCacheWith(source, { main: MAIN });
    return { ...made, options: ['--cache-dir', made.cacheDir] };
  }

  test('are listed by the names that other commands take', async () => {
    const { options } = ggufs();
    const { stdout } = await airllm(['ls', ...options]);
    expect(stdout.split('\n').map((line) => line.replace(/ +/g, ' '))).toEqual([
      'org/name:Q4_K_M 4.00 kB gguf main (aaaaaaa) used just now',
      'org/name:Q8_0 8.50 kB gguf main (aaaaaaa) used just now',
      '',
    ]);
    const shown = (await airllm(['show', 'org/name@main:q8_0', ...options])).stdout;
    expect(shown).toContain('name-Q8_0-00002-of-00002.gguf');
    expect(shown).not.toContain('Q4_K_M');
    const wrong = await airllm(['show', 'org/name:Q5_0', ...options]);
    expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining('there is Q4_K_M, Q8_0') });
  });

  test('are removed one by one, with the copies made from them', async () => {
    const { options, snapshot, cacheDir } = ggufs();
    const copy = path.join(cacheDir, 'airllm', 'converted', 'org--name-0123456789ab');
    mkdirSync(copy, { recursive: true });
    const source = realpathSync(path.join(snapshot(MAIN), 'name-Q8_0-00001-of-00002.gguf'));
    writeFileSync(path.join(copy, 'airllm-source.json'), JSON.stringify({ source, files: [] }));
    const dry = await airllm(['rm', 'org/name:Q8_0', '--dry-run', ...options]);
    expect(dry.stdout).toContain('would remove org/name:Q8_0 main (aaaaaaa), 8.50 kB\n');
    expect((await airllm(['rm', 'org/name:Q8_0', ...options])).stdout).toContain(`removed ${copy}, `);
    expect(readdirSync(snapshot(MAIN)).sort()).toEqual(['README.md', 'name-Q4_K_M.gguf']);
    expect([existsSync(source), existsSync(copy)]).toEqual([false, false]);
    expect((await airllm(['rm', 'org/name:Q4_K_M', ...options])).code).toBe(0);
    expect((await airllm(['ls', ...options])).stdout).toBe('');
  });
});
