import { mkdir, readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';
import { openCheckpoint } from '@airllm/loader';
import { AutoModel, type LanguageModel } from '@airllm/runtime';
import { count, readFolderAndOptions, UsageError } from './arguments';
import { readCap } from './byte-sizes';
import { cgroupObstacle, dropCaches } from './cgroup';
import { denseCopy } from './dense-copy';
import { machine } from './machine';
import { type OwnRun, runOwn } from './own-process';
import { CHATS, type SpeculateFigures } from './speculate-once';
import { bytes, head, percent, row } from './units';

export const usage = `bench speculate <chat model> [--case self|edit|prose] [--read-bps 600MB] [--prompts 2] [--new 56] [--rounds 3]
                  [--dir ~/.cache/airllm/bench]
                  (self: Linux, root; memory and reads are capped in a cgroup. A quantised model, such as the TinyLlama
                  that npm start downloads, is first written out in bfloat16.)`;

type Case = 'self' | 'edit' | 'prose';

/** What tokens guessed ahead bring: a self-draft where half the model streams, prompt lookup where nothing does. */
export async function run(args: string[]): Promise<void> {
  const { dir: source, values } = readFolderAndOptions(args, usage, {
    case: undefined,
    'read-bps': '600MB',
    prompts: '2',
    new: '56',
    rounds: '3',
    dir: join(homedir(), '.cache', 'airllm', 'bench'),
  });
  const cases: Readonly<Record<Case, () => Promise<void>>> = {
    self: () => selfDraft(source, values),
    edit: () => edit(source, values.dir),
    prose: () => prose(source, values.dir, count(values.rounds, 'rounds')),
  };
  if (values.case !== undefined && !Object.hasOwn(cases, values.case)) throw new UsageError(usage);
  console.log(await machine(source));
  for (const name of values.case === undefined ? (Object.keys(cases) as Case[]) : [values.case as Case]) {
    console.log(`\n${name}`);
    await cases[name]();
  }
}

interface SelfOptions {
  readonly 'read-bps': string;
  readonly prompts: string;
  readonly new: string;
  readonly dir: string;
}

/** Beside half of the weights: the process, its states and passes. */
const PROCESS_BYTES = 320e6;

/** The same answers with and without a 4-bit copy that drafts, in the same memory. */
async function selfDraft(source: string, options: SelfOptions): Promise<void> {
  const obstacle = cgroupObstacle();
  if (obstacle !== null) throw new UsageError(usage, obstacle);
  const { dir } = options;
  await mkdir(dir, { recursive: true });
  const dense = await denseCopy(source, join(dir, `${basename(source)}-bfloat16`));
  const { byteLength } = await openCheckpoint(dense);
  const memory = Math.round(byteLength / 2 + PROCESS_BYTES);
  const once = (speculate: string, budget: number) => {
    const given = ['--memory', String(budget), '--prompts', options.prompts, '--new', options.new, '--cache-dir', dir];
    return ['speculate-once', dense, '--speculate', speculate, ...given];
  };
  // Makes the copy, which is no part of any answer.
  await runOwn({}, [...once('self', 64e9), '--prompts', '1', '--new', '1']);
  const read = readCap(options['read-bps'], dense);
  console.log(`weights ${bytes(byteLength)}, memory ${bytes(memory)}, reads capped at ${options['read-bps']}/s`);
  const runs: OwnRun<SpeculateFigures>[] = [];
  console.log(head(TITLES));
  for (const speculate of ['off', 'self']) {
    dropCaches();
    const done: OwnRun<SpeculateFigures> = await runOwn({ memory, read }, once(speculate, memory));
    runs.push(done);
    console.log(row(cells(done)));
    for (const warning of done.figures.warnings) console.log(warning);
  }
  const [plain, drafted] = runs as [OwnRun<SpeculateFigures>, OwnRun<SpeculateFigures>];
  const same = JSON.stringify(idsOf(plain)) === JSON.stringify(idsOf(drafted));
  console.log(`${(total(plain) / total(drafted)).toFixed(2)} × faster end to end, ids ${same ? 'equal' : 'DIFFER'}`);
}

const TITLES = [
  'drafter',
  'drafting',
  'resident',
  'streamed a pass',
  'seconds',
  'tokens a pass',
  'right',
  'saved s',
  'peak',
];

function cells({ figures, peakBytes }: OwnRun<SpeculateFigures>): string[] {
  const sum = (of: (answer: SpeculateFigures['answers'][number]) => number) =>
    figures.answers.reduce((all, answer) => all + of(answer), 0);
  const drafted = sum(({ stats }) => stats.speculation?.drafted ?? 0);
  const accepted = sum(({ stats }) => stats.speculation?.accepted ?? 0);
  return [
    figures.drafter ?? 'none',
    bytes(figures.draftBytes),
    bytes(figures.residentBytes),
    bytes(figures.streamedBytes),
    sum(({ seconds }) => seconds).toFixed(1),
    (sum(({ ids }) => ids.length) / sum(({ stats }) => stats.passes)).toFixed(2),
    drafted === 0 ? '–' : percent(accepted / drafted),
    sum(({ stats }) => stats.speculation?.savedSeconds ?? 0).toFixed(1),
    bytes(peakBytes),
  ];
}

function idsOf({ figures }: OwnRun<SpeculateFigures>) {
  return figures.answers.map(({ ids }) => ids);
}

function total({ figures }: OwnRun<SpeculateFigures>): number {
  return figures.answers.reduce((sum, { seconds }) => sum + seconds, 0);
}

/** A source file of this repository, and what is renamed in it. */
const FILE = new URL('../../../packages/loader/src/host-buffer.ts', import.meta.url);
const LINES = 200;
const [FROM, TO] = ['HostBuffer', 'NativeBuffer'];
/** A small model's context does not hold 200 lines twice. */
const PIECE = 50;
/** Lines of the answer that are given: a two-bit model would rather chat. */
const GIVEN = 3;
const PIECE_TOKENS = 160;

/** What writing the file again came to. */
interface EditFigures {
  readonly ids: (readonly number[])[];
  tokens: number;
  passes: number;
  drafted: number;
  accepted: number;
  seconds: number;
  saved: number;
}

/** Has a source file written again with a name changed, piece by piece, without and with prompt lookup. */
async function edit(source: string, dir: string): Promise<void> {
  const lines = (await readFile(FILE, 'utf8')).split('\n').slice(0, LINES);
  const pieces = Array.from({ length: Math.ceil(lines.length / PIECE) }, (_, i) =>
    lines.slice(i * PIECE, (i + 1) * PIECE),
  );
  console.log(head(['drafter', 'lines', 'tokens', 'passes', 'tokens a pass', 'right', 'seconds', 'saved s']));
  const runs: EditFigures[] = [];
  for (const speculate of ['off', 'lookup'] as const) {
    await using model = await open(source, dir, speculate);
    const figures = await editPieces(model, pieces);
    runs.push(figures);
    const { tokens, passes, drafted, accepted, seconds, saved } = figures;
    const right = drafted === 0 ? '–' : percent(accepted / drafted);
    const counts = [lines.length, tokens, passes].map(String);
    console.log(row([speculate, ...counts, (tokens / passes).toFixed(2), right, seconds.toFixed(1), saved.toFixed(1)]));
  }
  const [off, lookup] = runs as [EditFigures, EditFigures];
  const same = JSON.stringify(off.ids) === JSON.stringify(lookup.ids);
  console.log(`${(off.seconds / lookup.seconds).toFixed(2)} × faster end to end, ids ${same ? 'equal' : 'DIFFER'}`);
}

async function editPieces(model: LanguageModel, pieces: readonly (readonly string[])[]): Promise<EditFigures> {
  const figures: EditFigures = { ids: [], tokens: 0, passes: 0, drafted: 0, accepted: 0, seconds: 0, saved: 0 };
  // Reads what then stays in memory.
  await model.generate({ prompt: 'x', maxNewTokens: 2 });
  for (const piece of pieces) {
    const begun = piece.slice(0, GIVEN).join('\n').replaceAll(FROM, TO);
    const question = `\`\`\`ts\n${piece.join('\n')}\n\`\`\`\n\nWrite this again with ${FROM} renamed to ${TO}.`;
    const { ids, usage, stats } = await model.generate({
      messages: [
        { role: 'user', content: question },
        { role: 'assistant', content: `\`\`\`ts\n${begun}\n` },
      ],
      chat: { continueFinalMessage: true },
      maxNewTokens: PIECE_TOKENS,
      doSample: false,
    });
    figures.ids.push(ids);
    figures.tokens += usage.newTokens;
    figures.passes += stats.passes;
    figures.drafted += stats.speculation?.drafted ?? 0;
    figures.accepted += stats.speculation?.accepted ?? 0;
    figures.saved += stats.speculation?.savedSeconds ?? 0;
    figures.seconds += stats.totalSeconds;
  }
  return figures;
}

/** Answers in which hardly anything repeats itself, with and without prompt lookup in turn; the best of several rounds. */
async function prose(source: string, dir: string, rounds: number): Promise<void> {
  await using off = await open(source, dir, 'off');
  await using lookup = await open(source, dir, 'lookup');
  const answer = async (model: LanguageModel, content: string) => {
    const { usage, stats } = await model.generate({
      messages: [{ role: 'user', content }],
      maxNewTokens: 80,
      ignoreEos: true,
      doSample: false,
    });
    return { rate: stats.tokensPerSecond, cpu: stats.cpuSecondsPerToken, perPass: usage.newTokens / stats.passes };
  };
  console.log(head(['prompt', 'plain tokens/s', 'lookup tokens/s', 'speed', 'processor time', 'tokens a pass']));
  for (const content of CHATS.slice(1, 4)) {
    const runs = { off: [], lookup: [] } as Record<'off' | 'lookup', Awaited<ReturnType<typeof answer>>[]>;
    for (let round = 0; round <= rounds; round++) {
      for (const [name, model] of Object.entries({ off, lookup })) {
        const figures = await answer(model, content);
        // The first round reads weights.
        if (round > 0) runs[name as 'off' | 'lookup'].push(figures);
      }
    }
    const rate = (name: 'off' | 'lookup') => Math.max(...runs[name].map((run) => run.rate));
    const cpu = (name: 'off' | 'lookup') => Math.min(...runs[name].map((run) => run.cpu));
    console.log(
      row([
        content,
        rate('off').toFixed(1),
        rate('lookup').toFixed(1),
        `${(rate('lookup') / rate('off')).toFixed(2)} ×`,
        `${(cpu('lookup') / cpu('off')).toFixed(2)} ×`,
        runs.lookup.at(-1)!.perPass.toFixed(2),
      ]),
    );
  }
}

function open(source: string, dir: string, speculate: 'off' | 'lookup'): Promise<LanguageModel> {
  return AutoModel.fromPretrained(source, { cacheDir: dir, contextLength: 2048, speculate });
}
