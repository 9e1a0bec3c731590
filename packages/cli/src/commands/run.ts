import { conversionArgs } from '../args/conversion';
import { deviceArgs } from '../args/device';
import { engineArgs } from '../args/engine';
import { limitArgs } from '../args/limits';
import { logitsArgs } from '../args/logits';
import { memoryArgs } from '../args/memory';
import { modelArgs } from '../args/model';
import { type OptionGroup, text, toggle } from '../args/option';
import { workArgs } from '../args/output';
import { samplingArgs } from '../args/sampling';
import { speculationArgs } from '../args/speculation';
import { watchArgs } from '../args/watch';
import { defineCommand } from '../command';
import { UsageError } from '../errors';
import { EXIT } from '../exit-codes';
import { openModel } from '../open-model';
import { answer } from '../run/answer';
import { chat } from '../run/chat';
import { promptFromStdin } from '../run/prompt';
import { planLine, summary } from '../run/summary';
import { Watch } from '../run/watch';

const promptOptions = {
  raw: toggle({ help: 'Give the prompt to the model as it is, without its chat template.' }),
  system: text({ value: '<text>', help: 'System message of a chat.' }),
  promptCache: text({
    value: '<file>',
    help: 'File that keeps what was read: a prompt or a chat that begins as the last one did goes on where they part.',
  }),
};
const promptArgs: OptionGroup<typeof promptOptions> = { title: 'Prompt', options: promptOptions };

export const run = defineCommand({
  name: 'run',
  summary: 'Generates text: one answer to a prompt, or a chat.',
  positionals: [
    {
      name: 'model',
      help: 'Folder with config.json and weights (safetensors, plain, split or quantised; .bin), a .gguf file, or a repository (org/name, org/name@revision, org/name:Q4_K_M), which is downloaded if it is not here.',
    },
    {
      name: 'prompt',
      help: 'Text to answer. Without one, or with -, it is read from a pipe; on a terminal a chat begins.',
      optional: true,
    },
  ],
  details: [
    'A model that was made for chats gets the prompt through its chat template; --raw turns that off. The answer goes to stdout as it is generated, everything else to stderr.',
    'Weights in a layout that cannot be computed with (GPTQ, AWQ, GGUF and others) are converted once, into the cache; airllm ls lists these copies.',
    'In a chat, /help lists what else can be typed. Ctrl-C ends an answer, and when none is being given the chat; Ctrl-D and /exit end it too.',
  ],
  examples: [
    ['airllm run ./SmolLM2-360M-Instruct "Name three rivers."', 'one answer'],
    ['airllm run ./Llama-3.1-70B-Instruct --memory 8GB', 'a chat with a model of 140 GB, in 8 GB of memory'],
    ['cat article.txt | airllm run ./model --system "Summarise in one sentence."', 'the prompt comes from a pipe'],
    ['airllm run ./model "Once upon a time" --raw --temperature 0.8 --seed 7', 'plain continuation, repeatable'],
    ['airllm run ./model "A haiku" --json --quiet | jq .usage', 'for programs'],
  ],
  groups: {
    prompt: promptArgs,
    memory: memoryArgs,
    limits: limitArgs,
    sampling: samplingArgs,
    logits: logitsArgs,
    speculation: speculationArgs,
    device: deviceArgs,
    engine: engineArgs,
    watch: watchArgs,
    conversion: conversionArgs,
    model: modelArgs,
    output: workArgs,
  },
  async run(context, [source, given], values) {
    const { terminal, signal } = context;
    const { raw, system, promptCache } = values.prompt;
    if (raw && system !== undefined) {
      throw new UsageError('--system needs the chat template that --raw turns off; give one of them');
    }
    const isChat = given === undefined && context.io.stdin.isTTY === true;
    if (isChat && values.output.json) throw new UsageError('--json needs a prompt, as an argument or from a pipe');
    if (values.logits.topLogprobs !== undefined && !values.output.json) {
      throw new UsageError('--top-logprobs needs --json, which is where they are told');
    }
    const fromPipe = given === '-' || (given === undefined && !isChat);
    const prompt = fromPipe ? await promptFromStdin(context.io.stdin, signal) : given;

    const watch = new Watch(context, values.watch);
    const model = await openModel(context, source!, {
      ...values.model,
      ...values.memory,
      ...(values.logits.responseFormat && { structuredOutput: true }),
      ...values.device,
      ...values.engine,
      ...values.speculation,
      ...values.conversion,
      observe: watch.observe,
    });
    try {
      if (system !== undefined && model.chatTemplate === null) {
        throw new UsageError('--system needs a chat template, which this model lacks; put that text into the prompt');
      }
      terminal.note(terminal.style.dim(`${planLine(model, values.memory)}\n`));
      const style = { templated: model.chatTemplate !== null && !raw, system };
      const options = { ...values.limits, ...values.sampling, ...values.logits, ...(promptCache && { promptCache }) };
      const results = await watch.during(model, async () =>
        prompt === undefined
          ? chat(context, model, style, options)
          : [await answer(context, model, { prompt, ...style, ...options, json: values.output.json })],
      );
      if (results.length > 0) terminal.note(`\n${terminal.style.dim(await summary(model, results, values.memory))}`);
      return EXIT.ok;
    } finally {
      await model.dispose();
    }
  },
});
