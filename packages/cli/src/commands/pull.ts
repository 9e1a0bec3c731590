import { type PullOptions, planPull, pullModel } from '@airllm/runtime';
import { downloadArgs } from '../args/download';
import { modelArgs } from '../args/model';
import { type OptionGroup, toggle } from '../args/option';
import { workArgs } from '../args/output';
import { defineCommand } from '../command';
import { UsageError } from '../errors';
import { EXIT } from '../exit-codes';
import { DelayNotes } from '../output/delay-notes';
import { DownloadBar } from '../output/download-bar';
import { formatBytes, formatSeconds } from '../output/units';
import { addressOf } from '../pull/address';
import { matching } from '../pull/matching';
import { planText } from '../pull/plan-text';

const lookOptions = { dryRun: toggle({ help: 'Only say which files would be downloaded, and how large they are.' }) };
const lookArgs: OptionGroup<typeof lookOptions> = { title: 'Preview', options: lookOptions };

export const pull = defineCommand({
  name: 'pull',
  summary: 'Downloads a model, or the newest state of it, into the Hugging Face cache.',
  positionals: [
    {
      name: 'model',
      help: 'org/name, org/name@revision, org/name:Q4_K_M (of several GGUF files), or org/name@revision:Q4_K_M.',
    },
  ],
  details: [
    'Takes what a run needs and nothing else: configuration, tokenizer, and one kind of weights (safetensors where there are any). The cache is shared with Python’s huggingface_hub; what is there is not fetched again.',
    'Every byte is verified while it arrives. An interrupted download, by Ctrl-C, a lost network or a power cut, goes on where it stopped when it is started again. Free space is checked first.',
    'airllm run does the same for a model that is not here, and computes with it while it comes.',
    'HF_TOKEN, or the token that `hf auth login` stores, opens gated and private repositories; HF_ENDPOINT names another Hub, HTTPS_PROXY and NO_PROXY a proxy.',
  ],
  examples: [
    ['airllm pull Qwen/Qwen3-8B', 'about 16 GB'],
    ['airllm pull org/name@v1.0 --json --quiet | jq -r .dir', 'a tag, for programs'],
    ['airllm pull unsloth/gemma-3-4b-it-GGUF:Q4_K_M', 'one of several GGUF files'],
    ['airllm pull org/name-GGUF --dry-run', 'which files, how large, and what is here'],
    ['airllm pull org/name --include "*.json" --include tokenizer.model', 'some files only'],
  ],
  groups: { look: lookArgs, download: downloadArgs, model: modelArgs, output: workArgs },
  async run({ terminal, signal }, [model], values) {
    const address = addressOf(model!, values.model);
    if (!address) {
      throw new UsageError(`"${model}" is no repository: expected org/name, org/name@revision or org/name:Q4_K_M`);
    }
    const { repo, revision, quantisation } = address;
    const { files: patterns, ...download } = values.download;
    const onDelay = new DelayNotes(terminal).show;
    const options: PullOptions = { ...values.model, ...download, revision, quantisation, signal, onDelay };
    const files = patterns && (await matching(repo, patterns, options));
    if (values.look.dryRun) {
      const plan = await planPull(repo, { ...options, files });
      await (values.output.json ? terminal.printJson(plan) : terminal.print(planText(plan)));
      return EXIT.ok;
    }
    const bar = new DownloadBar(terminal);
    const started = performance.now();
    const pulled = await pullModel(repo, { ...options, ...(files && { files }), onProgress: bar.show }).catch(
      (error: unknown) => {
        if (signal.aborted) terminal.note('stopped; the same command goes on from here\n');
        throw error;
      },
    );
    const seconds = (performance.now() - started) / 1000;
    const { commit, dir, bytesReceived } = pulled;
    const bytes = pulled.files.reduce((sum, { size }) => sum + size, 0);
    if (values.output.json) {
      await terminal.printJson({ repo, commit, dir, files: pulled.files, bytes, bytesReceived, seconds });
      return EXIT.ok;
    }
    const news = bytesReceived === 0 ? 'already there' : `${formatBytes(bytesReceived)} downloaded`;
    const amount = `${pulled.files.length} files, ${formatBytes(bytes)}, ${news}`;
    await terminal.print(`${dir}: ${amount} (${formatSeconds(seconds)})\n`);
    return EXIT.ok;
  },
});
