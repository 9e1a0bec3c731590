import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const fixture = fileURLToPath(new URL('../../../../apps/conformance/fixtures/llama', import.meta.url));
const VOCAB_SIZE = 301;

const TEMPLATE =
  "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}";

/** Makes a folder in another one, with the tiny random Llama, a tokenizer that has a token for each of some 300 characters, and a chat template. */
export function textModel(parent: string): string {
  const dir = join(parent, 'model');
  mkdirSync(dir);
  for (const name of ['config.json', 'model.safetensors']) copyFileSync(join(fixture, name), join(dir, name));
  writeFileSync(join(dir, 'tokenizer.json'), JSON.stringify(tokenizerJson()));
  writeFileSync(join(dir, 'tokenizer_config.json'), JSON.stringify({ chat_template: TEMPLATE }));
  return dir;
}

function tokenizerJson() {
  const ascii = Array.from({ length: 95 }, (_, i) => String.fromCodePoint(32 + i));
  const others = Array.from({ length: VOCAB_SIZE - 99 }, (_, i) => String.fromCodePoint(0xc0 + i));
  const vocab = Object.fromEntries(['<unk>', '<s>', '</s>', '\n', ...ascii, ...others].map((token, id) => [token, id]));
  const model = { type: 'BPE', vocab, merges: [], unk_token: '<unk>' };
  return { version: '1.0', added_tokens: [], model, decoder: { type: 'Fuse' } };
}
