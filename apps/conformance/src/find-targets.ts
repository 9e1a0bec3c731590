import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { UsageError } from './args';
import { isRefusals } from './check-refusals';

/** Something to check, and by what it is to be checked. */
export interface Target {
  readonly kind: 'golden' | 'model' | 'tokenizer' | 'refusals';
  /** As printed. */
  readonly name: string;
  readonly path: string;
}

// Deep enough for a folder of collections (../shared holds golden/<case>); checkpoints have no deeper folders of interest.
const maxDepth = 3;

/** The targets under `paths`, in their order, children sorted by name. Throws {@link UsageError} for a path that holds none. */
export function findTargets(paths: readonly string[]): Target[] {
  return paths.flatMap((given) => {
    if (!existsSync(given)) throw new UsageError(`${given}: no such file or folder`);
    const targets = within(path.resolve(given), path.basename(path.resolve(given)), maxDepth);
    if (targets.length === 0) {
      throw new UsageError(`${given}: nothing to check here; expected a checkpoint with expected.safetensors or
expected.json, a tokenizer's expected.json, or folders of these`);
    }
    return targets;
  });
}

function within(file: string, name: string, depth: number): Target[] {
  const kind = kindOf(file);
  if (kind !== undefined) return [{ kind, name, path: file }];
  if (depth === 0 || !statSync(file).isDirectory()) return [];
  return readdirSync(file)
    .sort()
    .filter((child) => isCandidate(path.join(file, child)))
    .flatMap((child) => within(path.join(file, child), child, depth - 1));
}

function isCandidate(file: string): boolean {
  return file.endsWith('.json') || statSync(file).isDirectory();
}

/** Recognised by content, so that a folder may have any name and lie anywhere. */
function kindOf(file: string): Target['kind'] | undefined {
  if (!statSync(file).isDirectory()) return isTokenizerFile(readJson(file)) ? 'tokenizer' : undefined;
  if (existsSync(path.join(file, 'expected.safetensors'))) return 'golden';
  const expected = path.join(file, 'expected.json');
  if (!existsSync(expected)) return undefined;
  const content = readJson(expected);
  if (isTokenizerFile(content)) return 'tokenizer';
  if (isRefusals(content)) return 'refusals';
  return Array.isArray(content.cases) ? 'model' : undefined;
}

function isTokenizerFile(content: Record<string, unknown>): boolean {
  const keys = Object.keys(content);
  const tokenizer = keys.includes('encode') && keys.includes('tokenizer');
  const template = keys.includes('chat') && keys.includes('chat_template');
  const stopTokens = keys.includes('rule') && keys.includes('models');
  return tokenizer || template || stopTokens;
}

function readJson(file: string): Record<string, unknown> {
  try {
    const content: unknown = JSON.parse(readFileSync(file, 'utf8'));
    return typeof content === 'object' && content !== null ? (content as Record<string, unknown>) : {};
  } catch {
    return {}; // Not ours, then: whoever reads it in earnest will say what is wrong with it.
  }
}
