import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { count, readFolderAndOptions } from './arguments';
import { measureResident } from './resident-once';

export const usage =
  'bench node-llama-once <model.gguf> --installed <folder> [--prompt 512] [--new 32] [--repeat 2] [--threads N]';

/** The part of node-llama-cpp that is used; it is not a dependency, so its types are not here. */
interface NodeLlama {
  getLlama(options: object): Promise<{
    loadModel(options: object): Promise<{
      createContext(options: object): Promise<{ getSequence(): LlamaSequence }>;
    }>;
  }>;
}

interface LlamaSequence {
  evaluate(tokens: readonly number[], options: object): AsyncIterable<number>;
  clearHistory(): Promise<void>;
}

/** The same as `resident-once`, by node-llama-cpp as its own users run it: mmap, all threads. */
export async function run(args: string[]): Promise<void> {
  const { dir: modelPath, values } = readFolderAndOptions(args, usage, {
    installed: '.',
    prompt: '512',
    new: '32',
    repeat: '2',
    threads: undefined,
  });
  const prompt = count(values.prompt, 'prompt');
  const newTokens = count(values.new, 'new');
  const threads = values.threads === undefined ? availableParallelism() : count(values.threads, 'threads');
  const find = createRequire(path.resolve(values.installed, 'package.json'));
  const { getLlama }: NodeLlama = await import(pathToFileURL(find.resolve('node-llama-cpp')).href);
  const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'error', maxThreads: threads });
  const model = await llama.loadModel({ modelPath, gpuLayers: 0, useMmap: true, ignoreMemorySafetyChecks: true });
  const context = await model.createContext({
    contextSize: prompt + newTokens + 64,
    batchSize: prompt,
    threads,
    ignoreMemorySafetyChecks: true,
  });
  const sequence = context.getSequence();
  const figures = await measureResident(
    async (ids, wanted) => {
      await sequence.clearHistory();
      const times = [performance.now()];
      const out: number[] = [];
      for await (const token of sequence.evaluate(ids, { temperature: 0, yieldEogToken: true })) {
        times.push(performance.now());
        out.push(token);
        if (out.length === wanted) break;
      }
      return { times, ids: out };
    },
    { prompt, newTokens, repeat: count(values.repeat, 'repeat') },
  );
  console.log(JSON.stringify(figures));
  // Its threads would keep the process for seconds.
  process.exit(0);
}
