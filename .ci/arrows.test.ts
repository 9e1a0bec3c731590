import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { checkArrows } from './arrows.mjs';

let root: string;
beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'airllm-arrows-'));
  write('package.json', '{ "devDependencies": { "vitest": "4" } }');
  add('loader');
  add('kernels', '@airllm/loader');
  add('shard', '@airllm/loader', '@airllm/kernels');
  add('runtime', '@airllm/loader', '@airllm/shard');
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function write(file: string, ...lines: string[]) {
  const full = path.join(root, file);
  mkdirSync(path.dirname(full), { recursive: true });
  writeFileSync(full, lines.join('\n'));
}

function manifest(folder: string, name: string, dependencies: string[]) {
  const entries = dependencies.map((each) => [each, 'workspace:*']);
  write(`${folder}/package.json`, JSON.stringify({ name, dependencies: Object.fromEntries(entries) }, null, 1));
}

/** A package or app that depends on, and imports, the packages named. */
function add(name: string, ...dependencies: string[]) {
  const app = name.startsWith('apps/');
  const folder = app ? name : `packages/${name}`;
  manifest(folder, app ? name.replace('apps', '@airllm-apps') : `@airllm/${name}`, dependencies);
  write(`${folder}/src/index.ts`, ...dependencies.map((each) => `import '${each}';`));
}

const found = () => checkArrows(root).map(({ file, line, message }) => `${file}:${line}: ${message}`);

test('a tree that follows the table has no problems', () => {
  write('packages/runtime/src/auto/auto.ts', "import '../generate/loop';", "import '../errors.js';");
  write('packages/runtime/src/generate/loop.ts', "import { a } from '../text/text';", "import '../engine/engine';");
  write('packages/runtime/src/engine/engine.ts', "import type { P } from '../plan/plan';", "import '../models/llama';");
  write('packages/runtime/src/plan/plan.ts', "import type { M } from '../models/llama';");
  write('packages/runtime/src/models/llama.ts', "import { readFile } from 'node:fs/promises';", "import '#worker';");
  write('packages/runtime/src/text/text.ts', "import '../errors';");
  write('packages/runtime/src/errors.ts', 'export {};');
  write('packages/runtime/src/text/text.test.ts', "import 'vitest';", "import '../engine/engine';");
  write('packages/runtime/src/text/b.test.ts', "import '../testing/helper';");
  write('packages/runtime/src/testing/helper.ts', "import 'vitest';", "import '../engine/engine';");
  write('.ci/readme.ts', 'export {};');
  write('packages/loader/src/readme.test.ts', "import '../../../.ci/readme';");
  add('apps/splitter-pipeline', '@airllm/shard');
  expect(found()).toEqual([]);
});

describe('between packages', () => {
  test.each([
    [
      'an arrow down',
      'loader/src/a.ts',
      "import { x } from '@airllm/kernels';",
      /loader may not import @airllm\/kernels/,
    ],
    [
      'a type-only arrow down',
      'kernels/src/a.ts',
      "import type { x } from '@airllm/shard';",
      /may not import @airllm\/shard/,
    ],
    [
      'a dynamic import down',
      'shard/src/a.ts',
      "const x = await import('@airllm/runtime');",
      /may not import @airllm\/runtime/,
    ],
    ['a re-export down', 'loader/src/a.ts', "export { x } from '@airllm/shard';", /may not import @airllm\/shard/],
    [
      'a test that imports down',
      'loader/src/a.test.ts',
      "import '@airllm/kernels';",
      /may not import @airllm\/kernels/,
    ],
    ['a deep import', 'kernels/src/a.ts', "import '@airllm/loader/dist/x';", /deep import/],
    ['a relative import that leaves', 'kernels/src/a.ts', "import '../../loader/src/index';", /leaves the package/],
    ['tooling in a source', 'kernels/src/a.ts', "import '../../../package.json';", /leaves the package/],
    ['an app', 'runtime/src/a.ts', "import '@airllm-apps/bench';", /nobody imports an app/],
    ['a package that is not declared', 'runtime/src/a.ts', "import '@airllm/kernels';", /not in the dependencies/],
    ['a stranger that is not declared', 'loader/src/a.ts', "import koffi from 'koffi';", /'koffi' is not in the dep/],
    ['a root tool in a source', 'loader/src/a.ts', "import 'vitest';", /'vitest' is not in the dependencies/],
    ['a builtin without node:', 'loader/src/a.ts', "import fs from 'fs';", /write 'node:fs'/],
    ['a file that is not there', 'loader/src/a.ts', "import './absent';", /is not there/],
  ])('%s is refused with its line', (_, file, line, message) => {
    write(`packages/${file}`, '// first line', line);
    expect(found()).toEqual([expect.stringMatching(message)]);
    expect(found()[0]).toContain(`packages/${file}:2: `);
  });

  test('a source that uses what is for tests', () => {
    write('packages/loader/src/testing/helper.ts', 'export {};');
    write('packages/loader/src/a.ts', "export { x } from './testing/helper';");
    expect(found()).toEqual([expect.stringMatching(/a\.ts:1: '\.\/testing\/helper' is for tests/)]);
  });

  test('a dependency nobody imports, and one the table forbids', () => {
    manifest('packages/kernels', '@airllm/kernels', ['@airllm/loader', '@airllm/runtime']);
    expect(found()).toEqual([
      expect.stringMatching(/kernels\/package\.json:5: @airllm\/kernels may not depend on @airllm\/runtime/),
      expect.stringMatching(/depends on @airllm\/runtime but no source imports it/),
    ]);
  });

  test('the splitter pipeline imports only shard; other apps import any package but no app', () => {
    add('apps/splitter-pipeline', '@airllm/shard', '@airllm/loader');
    add('apps/bench', '@airllm/loader');
    write('apps/bench/src/a.ts', "import '@airllm-apps/splitter-pipeline';");
    expect(found()).toEqual([
      expect.stringMatching(/^apps\/bench\/src\/a\.ts:1: nobody imports an app/),
      expect.stringMatching(/splitter-pipeline may not import @airllm\/loader/),
      expect.stringMatching(/splitter-pipeline may not depend on @airllm\/loader/),
    ]);
  });

  test('a package unknown to the table', () => {
    add('extra', '@airllm/loader');
    expect(found()).toEqual([expect.stringMatching(/@airllm\/extra has no row in packageArrows/)]);
  });
});

describe('inside the runtime', () => {
  test.each([
    ['models', 'plan'],
    ['models', 'engine'],
    ['plan', 'engine'],
    ['plan', 'text'],
    ['engine', 'text'],
    ['engine', 'generate'],
    ['text', 'models'],
    ['text', 'engine'],
    ['generate', 'auto'],
    ['measure', 'engine'],
    ['engine', 'measure'],
    ['plan', 'measure'],
  ])('%s may not import %s', (from, to) => {
    write(`packages/runtime/src/${to}/b.ts`, 'export {};');
    write(`packages/runtime/src/${from}/a.ts`, `import type { B } from '../${to}/b';`);
    expect(found()).toEqual([`packages/runtime/src/${from}/a.ts:1: ${from}/ may not import ${to}/`]);
  });

  test('a folder without a row, and a shared file that reaches into a folder', () => {
    write('packages/runtime/src/misc/a.ts', 'export {};');
    write('packages/runtime/src/engine/a.ts', "import '../misc/a';");
    write('packages/runtime/src/errors.ts', "import './engine/a';");
    expect(found()).toEqual([
      expect.stringMatching(/src\/misc has no row/),
      expect.stringMatching(/errors\.ts:1: a file beside the folders may not import engine\//),
    ]);
  });
});

test('a cycle between files of a package is shown as its path', () => {
  write('packages/loader/src/index.ts', "export { a } from './a';");
  write('packages/loader/src/a.ts', "import { b } from './b';");
  write('packages/loader/src/b.ts', "import { c } from './deep/c.js';");
  write('packages/loader/src/deep/c.ts', '', "import type { A } from '../a';");
  expect(found()).toEqual([
    `packages/loader/src/deep/c.ts:2: import cycle: ${['a.ts', 'b.ts', path.join('deep', 'c.ts'), 'a.ts'].join(' → ')}`,
  ]);
});
