import { openCheckpoint } from '@airllm/loader';
import {
  AutoModel,
  buildModel,
  type LanguageModel,
  measureMachine,
  openDevice,
  passSpeeds,
  predictPass,
  weightDType,
} from '@airllm/runtime';
import { count, readFolderAndOptions, UsageError } from './arguments';
import { machine } from './machine';
import { promptIds, SHORT_PROMPT } from './prompt-ids';
import { bytes, head, percent, rate, row } from './units';

export const usage = `bench gpu <checkpoint> [--vram 4GB] [--memory 16GB] [--device gpu|auto] [--prompt 512] [--new 8]
                 (without --vram: nine tenths of what the GPU has free, where that can be told)`;

const DEVICES = ['gpu', 'auto'] as const;

/**
 * Decode and prefill with a GPU, against the bound of drive and bus: the bytes that a token streams and uploads, each at
 * the rate that was measured just before.
 */
export async function run(args: string[]): Promise<void> {
  const { dir, values } = readFolderAndOptions(args, usage, {
    vram: undefined,
    memory: undefined,
    device: 'gpu',
    prompt: '512',
    new: '8',
  });
  const device = DEVICES.find((name) => name === values.device);
  if (device === undefined) throw new UsageError(usage, `--device: expected ${DEVICES.join(' or ')}`);
  const prompt = count(values.prompt, 'prompt');
  const newTokens = count(values.new, 'new');
  const { vram, memory } = values;
  const speeds = await measured(dir, { device, vram });
  await using model = await AutoModel.fromPretrained(dir, {
    device,
    ...(vram !== undefined && { vram }),
    ...(memory !== undefined && { memory }),
    contextLength: Math.max(prompt, SHORT_PROMPT) + newTokens + 2,
    speculate: 'off',
  });
  const { plan } = model.info;
  if (plan.device === null) throw new Error('the GPU holds no block: grant more with --vram');
  const decode = await decodeSeconds(model, newTokens);
  const predicted = predictPass(plan, model.engine.model, speeds, { positions: SHORT_PROMPT });
  const bound = Math.max(predicted.terms.disk, predicted.terms.bus);
  const prefill = await prefillSeconds(model, prompt);
  console.log(await machine(dir));
  console.log(head(TITLES));
  const cells = [
    plan.device.name,
    `${bytes(plan.device.bytes.total)} of ${bytes(plan.device.bytes.limit)}`,
    bytes((await model.engine.deviceMemory())!.most),
    rate(speeds.diskBytesPerSecond),
    rate(speeds.device!.uploadBytesPerSecond),
    rate(speeds.device!.bytesPerSecond),
    `${bytes(plan.streamedBytes)} / ${bytes(plan.device.uploadedBytes)}`,
    decode.toFixed(3),
    bound === 0 ? 'all resident' : percent(bound / decode, 1),
    percent(predicted.seconds / decode - 1, 1),
    (prompt / prefill).toFixed(1),
  ];
  console.log(row(cells));
}

const TITLES = [
  'device',
  'its memory, planned',
  'at most taken',
  'disk',
  'upload',
  'its weights',
  'read / uploaded per token',
  's/token',
  'of max(disk, upload)',
  'predicted too long by',
  'prefill tokens/s',
];

async function measured(dir: string, options: { device: (typeof DEVICES)[number]; vram: string | undefined }) {
  const onWarning = (message: string) => {
    throw new Error(message);
  };
  const opened = await openDevice({ ...options, onWarning });
  if (opened === null) throw new Error('no GPU');
  try {
    const checkpoint = await openCheckpoint(dir);
    const dtype = weightDType(buildModel(checkpoint.config, checkpoint));
    const found = await measureMachine({ dir, device: opened.executor, dtypes: [dtype] });
    // Too little lies there to measure the drive by: it will not be the limit.
    const disk = found.drive?.direct ?? found.drive?.buffered ?? Number.POSITIVE_INFINITY;
    return passSpeeds(found, dtype, disk);
  } finally {
    await opened.executor.dispose();
  }
}

/** Of a token in the middle, the first ones aside: they bring what stays. */
async function decodeSeconds(model: LanguageModel, newTokens: number): Promise<number> {
  const times: number[] = [];
  const ids = promptIds(SHORT_PROMPT);
  for await (const event of model.stream({ ids, maxNewTokens: newTokens + 2, ignoreEos: true, doSample: false })) {
    if (event.type === 'text') times.push(performance.now());
  }
  const seconds = times.slice(2).map((time, i) => (time - times[i + 1]!) / 1000);
  return seconds.sort((a, b) => a - b)[Math.floor(seconds.length / 2)]!;
}

async function prefillSeconds(model: LanguageModel, prompt: number): Promise<number> {
  const start = performance.now();
  await model.generate({ ids: promptIds(prompt, 100), maxNewTokens: 1, ignoreEos: true, doSample: false });
  return (performance.now() - start) / 1000;
}
