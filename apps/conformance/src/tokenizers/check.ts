import { existsSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { checkChats } from './check-chats';
import { checkStops } from './check-stops';
import { checkTokenizer, findTokenizer, openTokenizer } from './check-tokenizer';
import type { ExpectedChats, ExpectedStops, ExpectedTokenizer, TokenizerCheck } from './format';

export interface TokenizerCheckOptions {
  /** Folder in which the npm packages that the expectations name are installed, or its node_modules. */
  readonly packagesDir?: string | undefined;
}

/**
 * Checks what lies at a path in the format of a `tokenizers` folder: `<name>` with its expected.json, a file of
 * `chat-templates` or all of them, stop-tokens.json, or the whole folder.
 */
export async function checkTokenizerPath(
  target: string,
  options: TokenizerCheckOptions = {},
): Promise<TokenizerCheck[]> {
  const absolute = path.resolve(target);
  if (!(await stat(absolute)).isDirectory()) return checkFile(absolute, options);
  const own = path.join(absolute, 'expected.json');
  if (existsSync(own)) return checkFile(own, options);
  const checks: TokenizerCheck[] = [];
  for (const entry of (await readdir(absolute, { withFileTypes: true })).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (entry.isDirectory() || entry.name.endsWith('.json')) {
      checks.push(...(await checkTokenizerPath(path.join(absolute, entry.name), options)));
    }
  }
  return checks;
}

async function checkFile(file: string, options: TokenizerCheckOptions): Promise<TokenizerCheck[]> {
  const json = await readJson(file);
  if (isStops(json)) return [await checkStops(json.models, path.dirname(path.dirname(file)))];
  if (isExpectedTokenizer(json)) return checkExpected(json, path.dirname(path.dirname(file)), options);
  const name = path.basename(file, '.json');
  const chats = checkChats(name, json as unknown as ExpectedChats, undefined);
  return [chats ?? { name, passed: false, detail: `${file} has no expectations that are known here` }];
}

async function checkExpected(
  expected: ExpectedTokenizer & ExpectedChats,
  tokenizersDir: string,
  options: TokenizerCheckOptions,
): Promise<TokenizerCheck[]> {
  const { name } = expected;
  const found = findTokenizer(expected, tokenizersDir, options.packagesDir);
  if ('missing' in found) {
    const skipped = { name, passed: false, skipped: true, detail: `tokenizer not at hand: ${found.missing}` };
    return [skipped, checkChats(name, expected, undefined)].filter((check) => check !== undefined);
  }
  try {
    const tokenizer = await openTokenizer(expected, found.dir);
    const chats = checkChats(name, expected, tokenizer);
    return [...checkTokenizer(expected, tokenizer), ...(chats === undefined ? [] : [chats])];
  } catch (error) {
    return [{ name, passed: false, detail: String(error) }];
  }
}

type Json = Record<string, unknown>;

async function readJson(file: string): Promise<Json> {
  return JSON.parse(await readFile(file, 'utf8')) as Json;
}

function isExpectedTokenizer(json: Json): json is Json & ExpectedTokenizer & ExpectedChats {
  return 'encode' in json && 'tokenizer' in json;
}

function isStops(json: Json): json is Json & { models: ExpectedStops[] } {
  return 'rule' in json && Array.isArray(json.models);
}
