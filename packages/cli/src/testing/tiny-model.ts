import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { temporaryFolder } from './temporary';

const fixture = fileURLToPath(new URL('../../../../apps/conformance/fixtures/llama', import.meta.url));
const VOCAB_SIZE = 301;

interface TinyModelOptions {
  /** With a chat template. */
  readonly chat?: boolean;
  /** Keys of config.json that differ. */
  readonly config?: Record<string, unknown>;
}

/** What the tiny model's chat template makes of a chat. */
export function templated(messages: readonly { role: string; content: string }[]): string {
  return `${messages.map(({ role, content }) => `[${role}]${content}\n`).join('')}[assistant]`;
}

const TEMPLATE =
  "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}";

/** A folder with a tiny random Llama of 3 layers, and a tokenizer that has a token for each of 300 characters. */
export function tinyModel({ chat = false, config = {} }: TinyModelOptions = {}): string {
  const dir = path.join(temporaryFolder(), 'model');
  mkdirSync(dir);
  copyFileSync(path.join(fixture, 'model.safetensors'), path.join(dir, 'model.safetensors'));
  const original = JSON.parse(readFileSync(path.join(fixture, 'config.json'), 'utf8'));
  writeFileSync(path.join(dir, 'config.json'), JSON.stringify({ ...original, ...config }));
  writeFileSync(path.join(dir, 'tokenizer.json'), JSON.stringify(tokenizerJson()));
  writeFileSync(path.join(dir, 'tokenizer_config.json'), JSON.stringify(chat ? { chat_template: TEMPLATE } : {}));
  return dir;
}

function tokenizerJson() {
  const ascii = Array.from({ length: 95 }, (_, i) => String.fromCodePoint(32 + i));
  const others = Array.from({ length: VOCAB_SIZE - 97 }, (_, i) => String.fromCodePoint(0xc0 + i));
  const vocab = Object.fromEntries(['<unk>', '\n', ...ascii, ...others].map((token, id) => [token, id]));
  return { version: '1.0', added_tokens: [], model: { type: 'BPE', vocab, merges: [], unk_token: '<unk>' } };
}
