import path from 'node:path';
import { type BatchProgress, type RowLimit, runBatch } from '@airllm/runtime';
import { batchArgs } from '../args/batch';
import { conversionArgs } from '../args/conversion';
import { deviceArgs } from '../args/device';
import { engineArgs } from '../args/engine';
import { limitArgs } from '../args/limits';
import { memoryArgs } from '../args/memory';
import { modelArgs } from '../args/model';
import { workArgs } from '../args/output';
import { samplingArgs } from '../args/sampling';
import { speculationArgs } from '../args/speculation';
import { BatchMeter } from '../batch/progress';
import { openInput, openOutput } from '../batch/streams';
import { defineCommand } from '../command';
import { UsageError } from '../errors';
import { EXIT } from '../exit-codes';
import { openModel } from '../open-model';
import { formatExact, formatSeconds, significant } from '../output/units';
import { planLine } from '../run/summary';

export const batch = defineCommand({
  name: 'batch',
  summary: 'Answers a file of requests in OpenAI’s Batch format, many at once.',
  positionals: [
    { name: 'model', help: 'As for airllm run.' },
    {
      name: 'input',
      help: 'One request a line: {"custom_id", "method": "POST", "url", "body"}, with /v1/chat/completions or /v1/completions for a url; - reads a pipe.',
    },
    { name: 'output', help: 'File that gets one answer a line as they are done; - writes to stdout.' },
  ],
  details: [
    'An answer that was written survives whatever happens next. Run the same line again after an interruption: requests that were answered are not repeated, and a line that was torn is cut off and asked again.',
    'Lines that are at fault (not JSON, no or a repeated custom_id, an option that makes no sense, a prompt longer than the context) get an error for an answer, with the number of their line; the batch goes on.',
    'Options of length and sampling are for what a request leaves open. The input is read as it is needed, so it may be of any size.',
  ],
  examples: [
    ['airllm batch ./Llama-3.1-70B-Instruct in.jsonl out.jsonl --memory 8GB', 'over night, on a laptop'],
    ['airllm batch ./model in.jsonl out.jsonl --max-new-tokens 500', 'where requests do not say how long'],
    ['zcat in.jsonl.gz | airllm batch ./model - - -q > out.jsonl', 'in a pipe; not resumed'],
  ],
  groups: {
    batch: batchArgs,
    memory: memoryArgs,
    limits: limitArgs,
    sampling: samplingArgs,
    device: deviceArgs,
    engine: engineArgs,
    speculation: speculationArgs,
    conversion: conversionArgs,
    model: modelArgs,
    output: workArgs,
  },
  async run(context, [source, inputName, outputName], values) {
    const { terminal, signal } = context;
    const { maxRows, maxActive } = values.batch;
    const { json } = values.output;
    if (json && outputName === '-') throw new UsageError('--json needs a file for the output: stdout has the answers');
    const input = await openInput(inputName!, context);
    const output = await openOutput(outputName!, inputName!, context);
    try {
      if (output.found > 0) terminal.note(`going on behind ${formatExact(output.found)} answers\n`);
      const model = await openModel(context, source!, {
        ...values.model,
        ...values.memory,
        ...values.device,
        ...values.engine,
        ...values.speculation,
        ...values.conversion,
        ...(maxRows === undefined ? {} : { maxRows }),
      });
      try {
        terminal.note(terminal.style.dim(`${planLine(model, values.memory)}\n`));
        const meter = new BatchMeter(terminal, input.bytes);
        let progress: BatchProgress | undefined;
        try {
          const answers = runBatch(model, input.lines, {
            answered: output.answered,
            defaults: { ...values.limits, ...values.sampling },
            modelName: path.basename(source!),
            maxActive,
            signal,
            onProgress: (now) => {
              progress = now;
              meter.show(now, performance.now());
            },
          });
          for await (const answer of answers) await output.append(answer);
        } finally {
          meter.clear();
          if (progress !== undefined) terminal.note(terminal.style.dim(`${outcome(progress, model.rowLimit)}\n`));
          if (signal.aborted && outputName !== '-') terminal.note('run the same line again to go on from here\n');
        }
        if (json) await terminal.printJson(progress);
        return EXIT.ok;
      } finally {
        await model.dispose();
      }
    } finally {
      await output.close();
    }
  },
});

/** What this run did, in a line. */
function outcome(progress: BatchProgress, { rows, chosen }: RowLimit): string {
  const { answered, failed, skipped, promptTokens, newTokens, seconds } = progress;
  const why = { planned: 'what memory has room for', balanced: 'what is computed while the drive reads' }[chosen];
  return [
    `${formatExact(answered)} answered in ${formatSeconds(seconds)}, ${formatExact(failed)} of them with errors`,
    ...(skipped > 0 ? [`${formatExact(skipped)} answered before`] : []),
    `${formatExact(promptTokens)} tokens read, ${formatExact(newTokens)} generated`,
    `${significant(seconds > 0 ? newTokens / seconds : 0)} tokens/s`,
    `up to ${formatExact(rows)} rows a pass (${why})`,
  ].join(' · ');
}
