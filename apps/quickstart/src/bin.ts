import { homedir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { AutoModel, type GenerateRequest } from '@airllm/runtime';
import { stories15M } from './stories15m';
import { summary } from './summary';
import { tinyLlama } from './tinyllama';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    // tinyllama: 1.1 billion parameters, downloaded once (322 MB). stories15m: comes with the repository.
    model: { type: 'string', default: 'tinyllama' },
    'weights-memory': { type: 'string' },
    'max-new-tokens': { type: 'string', default: '100' },
    'cache-dir': { type: 'string' },
  },
});

const cacheDir = values['cache-dir'] ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'airllm');

interface Choice {
  readonly path: string;
  /** Less than the weights take: part of them stays, and the rest streams past for every token. */
  readonly weightsMemory: string;
  readonly request: (prompt: string) => GenerateRequest;
  readonly prompt: string;
}

const choice = await choose(values.model);
const prompt = positionals.join(' ') || choice.prompt;
await using model = await AutoModel.fromPretrained(choice.path, {
  weightsMemory: values['weights-memory'] ?? choice.weightsMemory,
  contextLength: 512,
  cacheDir,
  onConversion: onceSaid(({ bytesTotal }) => `Converting ${Math.round(bytesTotal / 1e6)} MB, once …`),
});
const request = choice.request(prompt);
process.stdout.write(request.prompt ?? '');
for await (const event of model.stream({ ...request, maxNewTokens: Number(values['max-new-tokens']) })) {
  if (event.type === 'text') {
    process.stdout.write(event.text);
  } else {
    process.stdout.write('\n');
    process.stderr.write(`\n${summary(model, event, process.resourceUsage().maxRSS * 1024)}`);
  }
}

async function choose(name: string): Promise<Choice> {
  if (name === 'tinyllama') {
    try {
      console.error('TinyLlama, 1.1 billion parameters; the first time 322 MB are downloaded …');
      return {
        path: await tinyLlama(cacheDir),
        weightsMemory: '300MB',
        request: (content) => ({ messages: [{ role: 'user', content }], doSample: false }),
        prompt: 'What is the capital of France?',
      };
    } catch (error) {
      console.error(`${(error as Error).message}\nGoing on with stories15M, which is here already.`);
    }
  } else if (name !== 'stories15m') {
    throw new Error(`--model: expected tinyllama or stories15m, found ${name}`);
  }
  return {
    path: await stories15M(cacheDir),
    weightsMemory: '24MB',
    request: (prompt) => ({ prompt }),
    prompt: 'Once upon a time',
  };
}

/** Says a line at the first event. */
function onceSaid<Event>(line: (event: Event) => string): (event: Event) => void {
  let said = false;
  return (event) => {
    if (!said) console.error(line(event));
    said = true;
  };
}
