import { loadTokenizer, TextStream } from '@airllm/runtime';
import { generateIds } from './compose';

const [dir, prompt = 'Once upon a time'] = process.argv.slice(2);
if (dir === undefined) {
  process.stderr.write('usage: custom-runtime MODEL_FOLDER [PROMPT]\n');
  process.exit(2);
}

const tokenizer = await loadTokenizer(dir);
if (tokenizer === null) throw new Error(`${dir} has no tokenizer`);
const promptIds = tokenizer.encode(prompt);
const text = new TextStream(tokenizer, { promptIds });
const ids = generateIds(dir, promptIds, {
  maxNewTokens: 64,
  weightsMemory: 64e6,
  sampling: { method: 'greedy', repetitionPenalty: 1, temperature: 1, topK: 0, topP: 1, minP: 0 },
  seed: 0,
});
process.stdout.write(prompt);
for await (const id of ids) process.stdout.write(text.push(id));
process.stdout.write(`${text.flush()}\n`);
