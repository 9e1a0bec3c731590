// Compiles users' programs against the installed packages' types, without skipLibCheck.
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';
import { root } from '../toolchain.mjs';

const base = {
  target: ts.ScriptTarget.ES2022,
  strict: true,
  skipLibCheck: false,
  noEmit: true,
  exactOptionalPropertyTypes: true,
};
const resolutions = {
  node16: { module: ts.ModuleKind.Node16, moduleResolution: ts.ModuleResolutionKind.Node16 },
  bundler: { module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler },
};
// With Node's types, and without them as in a page or another runtime, where AbortSignal comes from the DOM.
const environments = {
  'es2022 and @types/node': { lib: ['lib.es2022.d.ts'], types: ['node'] },
  'es2022 and dom, no @types/node': { lib: ['lib.es2022.d.ts', 'lib.dom.d.ts'], types: [] },
};

function compile(label, files, options) {
  const program = ts.createProgram(files, { ...base, ...options });
  const diagnostics = ts.getPreEmitDiagnostics(program);
  if (diagnostics.length === 0) return;
  const host = { getCanonicalFileName: (name) => name, getCurrentDirectory: () => root, getNewLine: () => '\n' };
  throw new Error(`${label}:\n${ts.formatDiagnostics(diagnostics.slice(0, 12), host)}`);
}

/** Every declaration of every package, from an ESM and from a CJS file. */
export function checkTypes(dir, names) {
  const source = names
    .map((name, i) => `import * as m${i} from '${name}';\nexport const v${i}: typeof m${i} = m${i};`)
    .join('\n');
  for (const [environment, own] of Object.entries(environments)) {
    // A folder beside node_modules/@types would let the compiler find Node's types by walking up.
    const scratch = path.join(dir, own.types.length ? 'types-node' : 'types-none');
    mkdirSync(scratch, { recursive: true });
    const typeRoots = [path.join(scratch, 'types')];
    if (own.types.length) linkNodeTypes(scratch);
    for (const [resolution, options] of Object.entries(resolutions)) {
      const files = ['mts', 'cts'].map((extension) => path.join(scratch, `consumer.${extension}`));
      for (const file of files) writeFileSync(file, source);
      compile(`${resolution}, ${environment}`, files, { ...options, ...own, typeRoots });
    }
  }
}

/** The ts blocks of the packages' READMEs, as modules of a Node project. */
export function checkReadmePrograms(dir, names) {
  const scratch = path.join(dir, 'types-readme');
  mkdirSync(scratch, { recursive: true });
  linkNodeTypes(scratch);
  const files = [];
  for (const name of names) {
    const readme = path.join(dir, 'node_modules', name, 'README.md');
    if (!existsSync(readme)) throw new Error(`${name} has no README.md`);
    for (const [, code] of readFileSync(readme, 'utf8').matchAll(/^```ts\r?\n([\s\S]*?)^```/gm)) {
      const file = path.join(scratch, `${path.basename(name)}-${files.length}.mts`);
      writeFileSync(file, `${code}\nexport {};\n`);
      files.push(file);
    }
  }
  if (files.length === 0) throw new Error('no README has a ts block');
  const options = {
    ...resolutions.node16,
    lib: ['lib.es2022.d.ts'],
    types: ['node'],
    typeRoots: [path.join(scratch, 'types')],
  };
  compile('README programs', files, { ...options, exactOptionalPropertyTypes: false });
  return `${files.length} programs`;
}

/** The workspace's own @types/node, and undici-types which it refers to, put where only this folder sees them. */
function linkNodeTypes(scratch) {
  const types = path.join(scratch, 'types');
  const modules = path.join(scratch, 'node_modules/@types');
  for (const parent of [types, modules]) {
    mkdirSync(parent, { recursive: true });
    if (!readdirSync(parent).includes('node'))
      symlinkSync(path.join(root, 'node_modules/@types/node'), path.join(parent, 'node'), 'junction');
  }
}
