import { describeCheckpoint } from '@airllm/runtime';
import { modelArgs } from '../args/model';
import { number, type OptionGroup } from '../args/option';
import { reportArgs } from '../args/output';
import { defineCommand } from '../command';
import { UsageError } from '../errors';
import { EXIT } from '../exit-codes';
import { inspectReport, inspectText } from '../inspect/report';
import { openModelFiles } from '../model-files';
import { DelayNotes } from '../output/delay-notes';

const stateOptions = {
  contextLength: number({
    name: 'context',
    value: '<tokens>',
    help: 'Positions to give the size of the state for. Default: what the model was made for, at most 4096.',
  }),
};
const stateArgs: OptionGroup<typeof stateOptions> = { title: 'State', options: stateOptions };

export const inspect = defineCommand({
  name: 'inspect',
  summary: 'Says what a model is, without reading a weight.',
  positionals: [
    {
      name: 'model',
      help: 'Folder, file with weights, or repository (org/name, org/name@revision, org/name:Q4_K_M); config.json and an index are enough.',
    },
  ],
  details: [
    'Figures come from config.json, from the index, and from the headers of the weights, of which those of a repository are fetched in ranges, a few hundred kB at most (of GGUF files, whose headers hold the tokenizer, up to 13 MB). What is not exact is marked ≈: parameters of model types that airllm cannot run yet are estimated from sizes and dtype.',
    'The state is what a sequence keeps between tokens, in float32: 2 · length · layers · kv heads · head dim · 4 bytes. A sliding window ends its growth.',
  ],
  examples: [
    ['airllm inspect ./Llama-3.1-70B', 'in words'],
    ['airllm inspect ./Llama-3.1-70B --context 131072', 'how large is the state of a long text?'],
    ['airllm inspect org/model --json | jq .parameters.count', 'for programs'],
  ],
  groups: { state: stateArgs, model: modelArgs, output: reportArgs },
  async run({ terminal, signal }, [source], values) {
    const { contextLength } = values.state;
    if (contextLength !== undefined && !(Number.isSafeInteger(contextLength) && contextLength > 0)) {
      throw new UsageError(`--context: expected a whole number above 0, found ${contextLength}`);
    }
    const files = await openModelFiles(source!, { ...values.model, onDelay: new DelayNotes(terminal).show }, signal);
    const description = describeCheckpoint(files.config, {
      ...(files.tensors && { tensors: files.tensors }),
      ...(files.quantised && { quantised: files.quantised }),
      totalBytes: files.totalBytes,
      quantisation: files.quantisation,
    });
    const report = inspectReport(files, description, contextLength);
    await (values.output.json ? terminal.printJson(report) : terminal.print(inspectText(report)));
    return EXIT.ok;
  },
});
