// What every package has in common, checked so that a newcomer who knows one package knows them all.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, test } from 'vitest';
import { testFile } from './arrows.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const packages = ['loader', 'kernels', 'shard', 'runtime', 'cli'];
const maxLines = 600;

const read = (file: string) => readFileSync(path.join(root, file), 'utf8');
const manifestOf = (folder: string) => JSON.parse(read(`${folder}/package.json`));

function sources(folder: string): string[] {
  return readdirSync(path.join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const file = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return sources(file);
    return entry.name.endsWith('.ts') ? [file] : [];
  });
}

const parse = (file: string) => ts.createSourceFile(file, read(file), ts.ScriptTarget.ES2022, true);
const where = (file: string, node: ts.Node) =>
  `${file}:${node.getSourceFile().getLineAndCharacterOfPosition(node.getStart()).line + 1}`;

test('packages/ holds the five packages', () => {
  const folders = readdirSync(path.join(root, 'packages')).filter((name) =>
    existsSync(path.join(root, 'packages', name, 'package.json')),
  );
  expect(folders.sort()).toEqual([...packages].sort());
});

describe.each(packages)('packages/%s', (name) => {
  const folder = `packages/${name}`;

  test('has the same files as its siblings', () => {
    const expected = [
      'README.md',
      'package.json',
      'tsconfig.json',
      'tsup.config.ts',
      'src/index.ts',
      'src/readme.test.ts',
    ];
    expect(expected.filter((file) => !existsSync(path.join(root, folder, file)))).toEqual([]);
  });

  test('has the same manifest as its siblings', () => {
    const manifest = manifestOf(folder);
    expect(manifest).toMatchObject({
      name: `@airllm/${name}`,
      license: 'Apache-2.0',
      type: 'module',
      sideEffects: false,
      engines: { node: '>=20' },
      repository: { directory: folder },
      main: './dist/index.cjs',
      module: './dist/index.js',
      types: './dist/index.d.ts',
      scripts: {
        build: expect.any(String),
        typecheck: expect.any(String),
        test: expect.stringContaining('vitest run'),
      },
    });
    expect(manifest.description).toMatch(/^.{20,}\.$/);
    expect(manifest.files).toContain('dist');
    // Nothing else is reachable: what index.ts lists is the promise.
    expect(manifest.exports).toEqual({
      '.': {
        import: { types: './dist/index.d.ts', default: './dist/index.js' },
        require: { types: './dist/index.d.cts', default: './dist/index.cjs' },
      },
      './package.json': './package.json',
    });
    for (const script of ['preinstall', 'install', 'postinstall', 'prepare'])
      expect(manifest.scripts).not.toHaveProperty(script);
  });

  test('takes versions from the workspace or its catalog', () => {
    const { dependencies, devDependencies, optionalDependencies } = manifestOf(folder);
    const ranges = Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies });
    const own = ranges.filter(
      ([dependency, range]) => range !== (dependency.startsWith('@airllm/') ? 'workspace:*' : 'catalog:'),
    );
    expect(own).toEqual([]);
  });

  test('lists every public name in index.ts, which holds nothing else', () => {
    const file = `${folder}/src/index.ts`;
    const other = parse(file).statements.filter(
      (statement) =>
        !(
          ts.isExportDeclaration(statement) &&
          statement.moduleSpecifier &&
          statement.exportClause &&
          ts.isNamedExports(statement.exportClause)
        ),
    );
    expect(other.map((statement) => `${where(file, statement)}: ${statement.getText().slice(0, 80)}`)).toEqual([]);
    expect(parse(file).statements.length).toBeGreaterThan(0);
  });

  test(`has no source file above ${maxLines} lines`, () => {
    const long = sources(`${folder}/src`).map((file) => ({ file, lines: read(file).split('\n').length }));
    expect(long.filter(({ lines }) => lines > maxLines)).toEqual([]);
  });

  // The command line is the place that reads the environment, and it does so when a command runs.
  test('reads no environment when imported', () => {
    const found = sources(`${folder}/src`)
      .filter((file) => !testFile.test(file))
      .flatMap((file) => environmentReadsAtImport(file, parse(file)));
    expect(found).toEqual([]);
  });
});

function environmentReadsAtImport(file: string, node: ts.Node): string[] {
  if (ts.isFunctionLike(node)) return [];
  const found = ts.isPropertyAccessExpression(node) && node.getText() === 'process.env' ? [where(file, node)] : [];
  ts.forEachChild(node, (child) => {
    found.push(...environmentReadsAtImport(file, child));
  });
  return found;
}

describe('platform packages', () => {
  const platforms = readdirSync(path.join(root, 'packages/kernels/npm'));
  const kernels = manifestOf('packages/kernels');

  test('kernels names each of them, and no other, as an optional dependency', () => {
    const named = Object.keys(kernels.optionalDependencies).filter((name) => name.startsWith('@airllm/kernels-'));
    expect(named.sort()).toEqual(platforms.map((platform) => `@airllm/kernels-${platform}`).sort());
    expect(platforms).toEqual(expect.arrayContaining(['linux-x64', 'linux-arm64', 'darwin-arm64', 'win32-x64']));
  });

  test.each(platforms)('%s installs on its platform only and carries a library', (platform) => {
    const [os, cpu] = platform.split('-');
    const manifest = manifestOf(`packages/kernels/npm/${platform}`);
    expect(manifest).toMatchObject({
      name: `@airllm/kernels-${platform}`,
      version: kernels.version,
      license: 'Apache-2.0',
      os: [os],
      cpu: [cpu],
      files: expect.arrayContaining([expect.stringMatching(/^lib/)]),
    });
    // Packing without a library must fail, not publish an empty package.
    expect(manifest.scripts.prepack).toBeTruthy();
  });
});
