import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const folder = fileURLToPath(new URL('.', import.meta.url));

/** What takes long to load, Node's http and tls with it, and a process that has its model on disk should not wait for. */
const HEAVY = ['@huggingface/hub', './connections'];

test('heavy modules are loaded where they are used, not with this package', () => {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
    (file) => file.endsWith('.ts') && !file.endsWith('.test.ts') && !file.startsWith('testing'),
  );
  expect(files.length).toBeGreaterThan(100);
  const imports = /^(?:import|export) (?!type\b)[^;]*? from '([^']+)'/gm;
  const loaded = files.flatMap((file) =>
    [...readFileSync(folder + file, 'utf8').matchAll(imports)].map(([, name]) => `${file}: ${name}`),
  );
  expect(loaded.filter((each) => each.endsWith(': @airllm/kernels')).length).toBeGreaterThan(5);
  expect(loaded.filter((each) => HEAVY.some((name) => each.endsWith(`: ${name}`)))).toEqual([]);
});
