import { readFile } from 'node:fs/promises';
import type { PerplexityProgress } from '@airllm/runtime';
import { conversionArgs } from '../args/conversion';
import { deviceArgs } from '../args/device';
import { engineArgs } from '../args/engine';
import { memoryArgs } from '../args/memory';
import { modelArgs } from '../args/model';
import { workArgs } from '../args/output';
import { defineCommand } from '../command';
import { EXIT } from '../exit-codes';
import { openModel } from '../open-model';
import { table } from '../output/table';
import { formatExact } from '../output/units';

/** Wide enough that arithmetic, not reading, takes most of a pass; logits of a 128k vocabulary are then 131 MB. */
const LOGIT_ROWS = 256;
const DEFAULT_WINDOW = 512;

export const perplexity = defineCommand({
  name: 'perplexity',
  summary: 'Measures how well a model predicts a text, for comparing it before and after compression.',
  positionals: [
    { name: 'model', help: 'As for airllm run.' },
    { name: 'file', help: 'Text in UTF-8; - reads it from a pipe.' },
  ],
  details: [
    'The text is cut into windows of --context tokens (default 512), and every token but the first of each is scored. Lower is better; two models can be compared if their tokenizers are the same.',
  ],
  examples: [
    ['airllm perplexity ./model wikitext.txt', 'one number, with its standard error'],
    ['airllm perplexity ./model-4bit wikitext.txt --json', 'the same of a compressed copy, for programs'],
  ],
  groups: {
    memory: memoryArgs,
    device: deviceArgs,
    engine: engineArgs,
    conversion: conversionArgs,
    model: modelArgs,
    output: workArgs,
  },
  async run(context, [source, file], values) {
    const { terminal, signal, io } = context;
    const text = file === '-' ? await readStream(io.stdin) : new TextDecoder().decode(await readFile(file!));
    const { contextLength = DEFAULT_WINDOW } = values.memory;
    const model = await openModel(context, source!, {
      ...values.model,
      ...values.memory,
      ...values.device,
      ...values.engine,
      ...values.conversion,
      contextLength,
      logitRows: Math.min(contextLength, LOGIT_ROWS),
    });
    try {
      let step = 0;
      const onProgress = ({ tokens, totalTokens, perplexity }: PerplexityProgress) => {
        const tenth = Math.floor((10 * tokens) / totalTokens);
        if (tenth > step) terminal.note(`${tenth * 10} %, ${perplexity.toFixed(4)} so far\n`);
        step = tenth;
      };
      const result = await model.perplexity({ text, signal, onProgress });
      if (values.output.json) {
        await terminal.printJson(result);
        return EXIT.ok;
      }
      const { tokens, windows, standardError, meanNegativeLogLikelihood } = result;
      const error = result.perplexity * standardError;
      await terminal.print(
        table([
          ['perplexity', `${result.perplexity.toFixed(4)} ± ${error.toFixed(4)}`],
          ['nats a token', meanNegativeLogLikelihood.toFixed(5)],
          ['scored', `${formatExact(tokens)} tokens in ${formatExact(windows)} windows of up to ${contextLength}`],
        ]),
      );
      return EXIT.ok;
    } finally {
      await model.dispose();
    }
  },
});

async function readStream(stream: AsyncIterable<unknown>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk as Uint8Array));
  return new TextDecoder().decode(Buffer.concat(chunks));
}
