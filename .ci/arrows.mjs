// Checks that imports point one way, between packages and inside the runtime, as design.md draws them.
//   node .ci/arrows.mjs [root]      prints each violation with its file and line, exits 1 if there is any
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { builtinModules } from 'node:module';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import ts from 'typescript';

/** What each package and app may import of this workspace. An app absent here may import every package. */
const packageArrows = {
  '@airllm/loader': [],
  '@airllm/kernels': ['@airllm/loader'],
  '@airllm/shard': ['@airllm/loader', '@airllm/kernels'],
  '@airllm/runtime': ['@airllm/loader', '@airllm/kernels', '@airllm/shard'],
  '@airllm/cli': ['@airllm/loader', '@airllm/kernels', '@airllm/shard', '@airllm/runtime'],
  // Shows that splitting alone is enough for a pipeline.
  '@airllm-apps/splitter-pipeline': ['@airllm/shard'],
};

/** Folders inside packages whose arrows are fixed too. Files beside them (errors.ts, …) may be imported by all. */
const folderArrows = {
  '@airllm/runtime': {
    auto: ['generate', 'engine', 'text', 'plan', 'models', 'measure', 'hub', 'remote'],
    generate: ['engine', 'text', 'plan', 'models'],
    // Files of requests, and of what became of them.
    batch: ['generate', 'text'],
    engine: ['plan', 'models'],
    // A plan is made of what a built model says about itself.
    plan: ['models'],
    // Only the figures a plan is judged by; nobody but auto may need them to run.
    measure: ['plan', 'models'],
    models: [],
    text: [],
    // Repositories and their files; what is in the files is nothing to it.
    hub: [],
    'hub-cache': ['hub'],
    // Models whose files are still in a repository, or on their way.
    remote: ['hub', 'engine', 'plan', 'models'],
  },
};

const sourceFile = /\.[cm]?tsx?$/;
/** Tests, and the helpers and suites that only tests use. */
export const testFile = /\.(test|bench)\.[cm]?tsx?$|[\\/]src[\\/](testing|conformance)[\\/]/;
const builtins = new Set(builtinModules);

/** @returns {{ file: string, line: number, message: string }[]} */
export function checkArrows(root) {
  const problems = [];
  for (const member of members(root)) {
    const report = (file, line, message) => problems.push({ file: path.relative(root, file), line, message });
    const imports = sources(path.join(member.dir, 'src')).flatMap((file) => importsOf(file));
    for (const found of imports) checkImport(root, member, found, report);
    checkManifest(member, imports, report);
    checkCycles(member, imports, report);
  }
  return problems;
}

/** Packages and apps with their manifests. Platform packages hold a library and no source, and are left out. */
function members(root) {
  return ['packages', 'apps'].flatMap((kind) => {
    const parent = path.join(root, kind);
    if (!existsSync(parent)) return [];
    return readdirSync(parent)
      .map((name) => path.join(parent, name))
      .filter((dir) => existsSync(path.join(dir, 'package.json')))
      .map((dir) => ({ kind, dir, manifest: JSON.parse(readFileSync(path.join(dir, 'package.json'), 'utf8')) }));
  });
}

function sources(dir) {
  if (!existsSync(dir)) return [];
  return readdirSync(dir, { withFileTypes: true }).flatMap((entry) => {
    const full = path.join(dir, entry.name);
    if (entry.isDirectory()) return sources(full);
    return sourceFile.test(entry.name) ? [full] : [];
  });
}

/** Static, type-only and dynamic imports, re-exports and requires of a file. */
function importsOf(file) {
  const text = readFileSync(file, 'utf8');
  const { importedFiles } = ts.preProcessFile(text, true, true);
  return importedFiles.map(({ fileName, pos }) => ({
    file,
    specifier: fileName,
    line: text.slice(0, pos).split('\n').length,
    test: testFile.test(file),
  }));
}

function checkImport(root, member, found, report) {
  const say = (message) => report(found.file, found.line, message);
  if (found.specifier.startsWith('.')) {
    const target = resolveRelative(found);
    if (!target) return say(`'${found.specifier}' is not there`);
    // Tests and apps may run READMEs and read fixtures of the repository's tooling; nothing published may.
    const unpublished = found.test || member.kind === 'apps';
    if (unpublished && isInside(path.join(root, '.ci'), target)) return;
    if (!isInside(member.dir, target)) return say(`'${found.specifier}' leaves the package; import it by its name`);
    if (found.test) return;
    if (testFile.test(target)) return say(`'${found.specifier}' is for tests`);
    checkFolderArrow(member, found, target, say);
    return;
  }
  if (found.specifier.startsWith('#') || found.specifier.startsWith('node:')) return;
  if (path.isAbsolute(found.specifier)) return say(`'${found.specifier}' is a path of one machine`);
  const name = packageName(found.specifier);
  if (builtins.has(name)) return say(`write 'node:${found.specifier}'`);

  if (name.startsWith('@airllm-apps/')) return say('nobody imports an app');
  if (name.startsWith('@airllm/') && !name.startsWith('@airllm/kernels-')) {
    if (found.specifier !== name) return say(`'${found.specifier}' is a deep import; only '${name}' is public`);
    if (name === member.manifest.name) return say('a package imports its own files by relative path');
    const allowed = packageArrows[member.manifest.name];
    if (!allowed && member.kind === 'packages') {
      return say(`${member.manifest.name} has no row in packageArrows of .ci/arrows.mjs`);
    }
    if (allowed && !allowed.includes(name)) {
      return say(`${member.manifest.name} may not import ${name}, only ${allowed.join(', ') || 'no other package'}`);
    }
  }
  if (!declared(member.manifest, found.test).has(name) && !(found.test && rootTool(root, name))) {
    say(`'${name}' is not in the dependencies of ${member.manifest.name}`);
  }
}

function checkFolderArrow(member, found, target, say) {
  const folders = folderArrows[member.manifest.name];
  const src = path.join(member.dir, 'src');
  if (!folders || !isInside(src, target)) return;
  const from = firstFolder(src, found.file);
  const to = firstFolder(src, target);
  for (const folder of [from, to]) {
    if (folder && !folders[folder]) return say(`src/${folder} has no row in folderArrows of .ci/arrows.mjs`);
  }
  if (from === to || !to) return;
  if (!from) {
    // index.ts is the public face; any other file beside the folders is imported by them, so it stands below them.
    if (path.basename(found.file) !== 'index.ts') say(`a file beside the folders may not import ${to}/`);
    return;
  }
  if (!folders[from].includes(to)) say(`${from}/ may not import ${to}/`);
}

/** The @airllm packages a manifest depends on are the ones its sources import, and never an arrow the table forbids. */
function checkManifest(member, imports, report) {
  const file = path.join(member.dir, 'package.json');
  const text = readFileSync(file, 'utf8');
  const say = (name, message) => report(file, lineOf(text, `"${name}"`), message);
  const used = new Set(imports.filter((found) => !found.test).map((found) => packageName(found.specifier)));
  const usedByTests = new Set(imports.map((found) => packageName(found.specifier)));
  const { dependencies = {}, devDependencies = {}, peerDependencies = {}, optionalDependencies = {} } = member.manifest;
  const allowed = packageArrows[member.manifest.name];
  for (const [name, range] of Object.entries({ ...dependencies, ...peerDependencies, ...optionalDependencies })) {
    if (name.startsWith('@airllm-apps/')) say(name, 'nobody depends on an app');
    if (!name.startsWith('@airllm/')) continue;
    if (!range.startsWith('workspace:')) say(name, `${name} is '${range}' instead of a workspace version`);
    if (name.startsWith('@airllm/kernels-')) continue;
    if (allowed && !allowed.includes(name)) say(name, `${member.manifest.name} may not depend on ${name}`);
    if (!used.has(name)) say(name, `depends on ${name} but no source imports it`);
  }
  for (const name of Object.keys(devDependencies)) {
    if (name.startsWith('@airllm/') && !usedByTests.has(name)) say(name, `depends on ${name} but no test imports it`);
  }
}

/** Cycles between the files of a package, type imports included: an arrow is about who knows whom. */
function checkCycles(member, imports, report) {
  const graph = new Map();
  for (const found of imports) {
    const target = found.specifier.startsWith('.') ? resolveRelative(found) : undefined;
    if (!target || found.test) continue;
    if (!graph.has(found.file)) graph.set(found.file, []);
    graph.get(found.file).push({ target, line: found.line });
  }
  const done = new Set();
  const trail = [];
  const visit = (file) => {
    trail.push(file);
    for (const { target, line } of graph.get(file) ?? []) {
      const start = trail.indexOf(target);
      if (start >= 0) {
        const names = [...trail.slice(start), target].map((each) => path.relative(path.join(member.dir, 'src'), each));
        report(file, line, `import cycle: ${names.join(' → ')}`);
      } else if (!done.has(target)) visit(target);
    }
    trail.pop();
    done.add(file);
  };
  for (const file of [...graph.keys()].sort()) if (!done.has(file)) visit(file);
}

/** The file a relative specifier means: itself, or with an extension, or its TypeScript source, or an index. */
function resolveRelative({ file, specifier }) {
  const base = path.resolve(path.dirname(file), specifier);
  const stem = base.replace(/\.([cm]?)js$/, '');
  const candidates = [base, `${base}.ts`, `${stem}.ts`, `${stem}.mts`, `${stem}.cts`, path.join(base, 'index.ts')];
  return candidates.find((each) => existsSync(each) && statSync(each).isFile());
}

/** What may be imported: by sources what users get or the build bundles, by tests anything named. */
function declared(manifest) {
  const { dependencies, devDependencies, peerDependencies, optionalDependencies } = manifest;
  return new Set(
    [dependencies, devDependencies, peerDependencies, optionalDependencies].flatMap((each) => Object.keys(each ?? {})),
  );
}

/** vitest and the like belong to the whole workspace. */
function rootTool(root, name) {
  const file = path.join(root, 'package.json');
  return existsSync(file) && name in (JSON.parse(readFileSync(file, 'utf8')).devDependencies ?? {});
}

function packageName(specifier) {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

function firstFolder(dir, file) {
  const parts = path.relative(dir, file).split(path.sep);
  return parts.length > 1 ? parts[0] : undefined;
}

function isInside(dir, file) {
  const relative = path.relative(dir, file);
  return relative !== '' && !relative.startsWith('..') && !path.isAbsolute(relative);
}

function lineOf(text, part) {
  const at = text.indexOf(part);
  return at < 0 ? 1 : text.slice(0, at).split('\n').length;
}

if (process.argv[1] && import.meta.url === pathToFileURL(path.resolve(process.argv[1])).href) {
  const root = path.resolve(process.argv[2] ?? path.join(path.dirname(fileURLToPath(import.meta.url)), '..'));
  const problems = checkArrows(root);
  for (const { file, line, message } of problems) console.error(`${file}:${line}: ${message}`);
  const count = members(root).length;
  console.error(
    problems.length ? `${problems.length} arrows point the wrong way` : `arrows: ${count} packages and apps`,
  );
  process.exitCode = problems.length ? 1 : 0;
}
