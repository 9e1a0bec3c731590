import { availableParallelism } from 'node:os';
import type { CgroupLimits } from './cgroup';
import { dropCaches } from './cgroup';
import { type OwnRun, RunError, runMeasured } from './own-process';

/** What a process that generates one padded batch with AirLLM measured of itself. */
export interface AirllmFigures {
  /** From the call to the first tokens: the pass over all prompts. */
  readonly firstSeconds: number;
  /** Of each pass after it. */
  readonly stepSeconds: readonly number[];
  /** Rows that went through the model in each pass. */
  readonly rows: readonly number[];
  /** Bytes that came from the drive in the passes after the first, for each. */
  readonly bytesPerPass: number;
  /** Of torch, transformers and airllm. */
  readonly versions: string;
  readonly cpuSeconds: number;
}

export interface AirllmOptions {
  readonly python: string;
  readonly dir: string;
  /** Where its copy of the checkpoint goes, a file a layer: on the drive whose reads are capped. */
  readonly split: string;
  readonly limits: CgroupLimits;
  readonly sequences: number;
  readonly prompt: number;
  /** Tokens that are really generated. */
  readonly tokens: number;
}

/** Of a batch that fits: how many sequences, and how it went. */
export interface AirllmRun {
  readonly sequences: number;
  readonly run: OwnRun<AirllmFigures>;
}

/**
 * AirLLM's largest batch of prompts that is not killed in the cgroup: all sequences, else half of them, and so on. Throws
 * `RunError` where not even one fits, or for another reason.
 */
export async function largestBatch(options: AirllmOptions): Promise<AirllmRun> {
  const { python, dir, split, limits, prompt, tokens } = options;
  const command = (sequences: number, passes: number) => {
    const numbers = [sequences, prompt, passes, availableParallelism()].map(String);
    return [python, '-c', SCRIPT, dir, split, ...numbers];
  };
  // Makes its copy, which is no part of any answer.
  await runMeasured({}, command(1, 0), 'AirLLM’s splitting');
  for (let sequences = options.sequences; ; sequences = Math.ceil(sequences / 2)) {
    if (limits.memory !== undefined || limits.read !== undefined) dropCaches();
    try {
      return {
        sequences,
        run: await runMeasured(limits, command(sequences, tokens), `AirLLM with ${sequences} prompts`),
      };
    } catch (error) {
      if (!(error instanceof RunError && error.killedForMemory) || sequences === 1) throw error;
      console.log(`AirLLM: killed for memory with ${sequences} prompts`);
    }
  }
}

/**
 * One padded batch as AirLLM's README has it, greedily, with transformers' KV cache; each pass is timed where its logits
 * are there, and its rows are counted at the embedding.
 */
const SCRIPT = `
import json, resource, sys, time
import airllm, torch, transformers
from airllm import AutoModel
from transformers import LogitsProcessor

source, split, sequences, prompt, tokens, threads = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:7])
torch.set_num_threads(threads)
model = AutoModel.from_pretrained(source, device="cpu", dtype=torch.bfloat16, layer_shards_saving_path=split)
if tokens == 0:
    print(json.dumps({"cpuSeconds": 0}))
    sys.exit()
rows, times, blocks = [], [], []

def mark():
    times.append(time.perf_counter())
    blocks.append(resource.getrusage(resource.RUSAGE_SELF).ru_inblock)

class Clock(LogitsProcessor):
    def __call__(self, ids, scores):
        mark()
        scores[:, 2] = -float("inf")  # never the end
        return scores

model.model.get_input_embeddings().register_forward_hook(lambda module, args, output: rows.append(args[0].numel()))
ids = torch.tensor([[(s * 104729 + i * 7919 + 11) % 1000 for i in range(prompt)] for s in range(sequences)])
mark()
model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False, use_cache=True,
               pad_token_id=0, logits_processor=[Clock()])
steps = [b - a for a, b in zip(times, times[1:])]
use = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({
    "firstSeconds": steps[0], "stepSeconds": steps[1:], "rows": rows,
    "bytesPerPass": 512 * (blocks[-1] - blocks[1]) / max(1, len(steps) - 1),
    "versions": f"airllm 4.0.0, torch {torch.__version__}, transformers {transformers.__version__}",
    "cpuSeconds": use.ru_utime + use.ru_stime}))
`;
