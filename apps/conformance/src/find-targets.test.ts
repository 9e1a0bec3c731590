import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { UsageError } from './args';
import { findTargets } from './find-targets';

let root: string;

beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'conformance-'));
});
afterEach(() => rmSync(root, { recursive: true }));

function put(file: string, content: unknown): string {
  mkdirSync(path.dirname(path.join(root, file)), { recursive: true });
  writeFileSync(path.join(root, file), typeof content === 'string' ? content : JSON.stringify(content));
  return path.join(root, file);
}

describe('findTargets', () => {
  it('recognises each kind by its content', () => {
    put('b/expected.safetensors', '');
    put('b/config.json', {});
    put('a/config.json', {});
    put('a/expected.json', { cases: [] });
    put('c/expected.json', { tokenizer: 'tokenizer.json', encode: [] });
    put('d/template.json', { chat_template: '', chat: [] });
    put('stop-tokens.json', { rule: '', models: [] });
    put('e/expected.json', { 'bad.safetensors': { valid: false, reason: '' } });
    put('other/expected.json', { width: 3 });
    put('README.md', 'nothing');
    expect(findTargets([root]).map(({ kind, name }) => `${kind} ${name}`)).toEqual([
      'model a',
      'golden b',
      'tokenizer c',
      'tokenizer template.json',
      'refusals e',
      'tokenizer stop-tokens.json',
    ]);
  });

  it('takes a folder or a file itself, and keeps the order given', () => {
    put('b/expected.safetensors', '');
    const template = put('template.json', { chat_template: '', chat: [] });
    expect(findTargets([template, path.join(root, 'b')]).map((target) => target.name)).toEqual(['template.json', 'b']);
  });

  it('refuses a path that does not exist or holds nothing to check', () => {
    expect(() => findTargets([path.join(root, 'nowhere')])).toThrow(UsageError);
    expect(() => findTargets([root])).toThrow(UsageError);
    expect(() => findTargets([put('config.json', {})])).toThrow(UsageError);
    expect(() => findTargets([put('broken.json', '{')])).toThrow(UsageError);
  });
});
