import { homedir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { AutoModel } from '@airllm/runtime';
import { stories15M } from './stories15m';
import { summary } from './summary';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    'weights-memory': { type: 'string', default: '24MB' },
    'max-new-tokens': { type: 'string', default: '200' },
    'cache-dir': { type: 'string' },
  },
});

const cacheDir = values['cache-dir'] ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'airllm');
const prompt = positionals.join(' ') || 'Once upon a time';

// The weights are 61 MB: with 24 MB granted, part of them stays and the rest streams past for every token.
await using model = await AutoModel.fromPretrained(await stories15M(cacheDir), {
  weightsMemory: values['weights-memory'],
  contextLength: 256,
});
process.stdout.write(prompt);
for await (const event of model.stream({ prompt, maxNewTokens: Number(values['max-new-tokens']) })) {
  if (event.type === 'text') {
    process.stdout.write(event.text);
  } else {
    process.stdout.write('\n');
    process.stderr.write(`\n${summary(model, event, process.resourceUsage().maxRSS * 1024)}`);
  }
}
