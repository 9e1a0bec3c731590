import { cpSync, existsSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { OptionError, openSafetensors } from '@airllm/loader';
import { afterEach, describe, expect, test } from 'vitest';
import { AutoModel } from '../../auto/auto-model';
import type { FromPretrainedOptions } from '../../auto/from-pretrained-options';
import type { LanguageModel } from '../../auto/language-model';
import { PromptCacheError } from '../../state-errors';
import { haveShared, shared, sharedFolders } from '../../testing/shared';
import { temporaryFolder } from '../../testing/temporary';

const fixture = (name: string) =>
  fileURLToPath(new URL(`../../../../../apps/conformance/fixtures/${name}`, import.meta.url));
const open: LanguageModel[] = [];

afterEach(async () => {
  for (const model of open.splice(0)) await model.dispose();
});

async function openModel(dir: string, options: FromPretrainedOptions = {}): Promise<LanguageModel> {
  const model = await AutoModel.fromPretrained(dir, { memory: '1GB', contextLength: 256, threads: 1, ...options });
  open.push(model);
  return model;
}

const tokens = (count: number, seed = 0) => Array.from({ length: count }, (_, i) => 3 + ((i * 37 + seed * 101) % 90));
const LIMITS = { maxNewTokens: 8, ignoreEos: true, temperature: 0, returnLogits: true };

/** What was generated, to the bit. */
async function texts(model: LanguageModel, ids: readonly number[], promptCache?: string) {
  const { usage, logits, ids: generated } = await model.generate({ ids, promptCache, ...LIMITS });
  const bytes = Buffer.concat(logits!.map((row) => Buffer.from(row.buffer, row.byteOffset, row.byteLength)));
  return { cached: usage.cachedTokens, generated, bytes };
}

const document = tokens(100);
const questions = [tokens(20, 1), tokens(13, 2)].map((question) => [...document, ...question]);

describe('a prompt is run once, and its bytes are those of running it again', () => {
  const models = [
    ...['llama', 'gemma3_text', 'mixtral'].map((name) => [name, () => fixture(name)] as const),
    ...(haveShared() ? sharedFolders('models') : []).map((name) => [name, () => shared(`models/${name}`)] as const),
  ];

  test.each(models)('%s', async (name, dir) => {
    const states: FromPretrainedOptions[] = [
      { kvCacheDtype: 'float32' },
      { kvCacheDtype: 'int8', kvCachePlace: 'disk', kvCacheDir: temporaryFolder() },
      ...(name === 'llama' || name === 'gemma3_text' ? [{ kvCacheDtype: 'bfloat16' as const }] : []),
    ];
    for (const options of states) {
      const file = join(temporaryFolder(), 'document.safetensors');
      const model = await openModel(dir(), options);
      const plain = await texts(model, questions[0]!);
      const first = await texts(model, questions[0]!, file);
      expect([first.cached, first.bytes.equals(plain.bytes)]).toEqual([0, true]);
      // The same question: all but its last token. Another one: the document.
      const again = await texts(model, questions[0]!, file);
      expect([again.cached, again.bytes.equals(plain.bytes)]).toEqual([119, true]);
      await model.dispose();
      const later = await openModel(dir(), options);
      const [other, otherPlain] = [await texts(later, questions[1]!, file), await texts(later, questions[1]!)];
      expect([other.cached, other.bytes.equals(otherPlain.bytes)]).toEqual([100, true]);
    }
  });
});

test('a chat goes on where it was, also where it is stopped', async () => {
  const model = await openModel(fixture('llama'));
  const file = join(temporaryFolder(), 'chat.safetensors');
  const first = await texts(model, questions[0]!, file);
  const chat = [...questions[0]!, ...first.generated, ...tokens(40, 3)];
  const second = await texts(model, chat, file);
  // The last token generated was never run.
  expect(second.cached).toBe(120 + 7);
  expect(second.bytes.equals((await texts(model, chat)).bytes)).toBe(true);

  const longer = [...chat, ...second.generated, ...tokens(40, 4)];
  const stop = new AbortController();
  const stream = model.stream({ ids: longer, promptCache: file, ...LIMITS, signal: stop.signal });
  await stream.next();
  stop.abort(new Error('stopped'));
  await expect(stream.next()).rejects.toThrow('stopped');
  expect((await texts(model, longer, file)).cached).toBe(longer.length - 1);
});

test('what adds little is not written, and texts of one prompt share it', async () => {
  const model = await openModel(fixture('llama'));
  const file = join(temporaryFolder(), 'document.safetensors');
  await texts(model, questions[0]!, file);
  const { mtimeMs, ino } = statSync(file);
  await texts(model, questions[1]!, file);
  expect(statSync(file)).toMatchObject({ mtimeMs, ino });
  const several = await model.generate({
    ids: questions[1]!,
    promptCache: file,
    maxNewTokens: 4,
    seed: 1,
    numReturnSequences: 3,
  });
  expect(several.usage.cachedTokens).toBe(100);
  const alone = await model.generate({ ids: questions[1]!, maxNewTokens: 4, seed: 1, numReturnSequences: 3 });
  expect(several.sequences!.map(({ ids }) => ids)).toEqual(alone.sequences!.map(({ ids }) => ids));
  // A short prompt is not worth a file.
  const short = join(temporaryFolder(), 'short.safetensors');
  await texts(model, tokens(10), short);
  expect(existsSync(short)).toBe(false);
});

test('many at once use one file, each with its own bytes', async () => {
  const model = await openModel(fixture('llama'), { contextLength: 1024 });
  const file = join(temporaryFolder(), 'document.safetensors');
  await texts(model, questions[0]!, file);
  const plain = await Promise.all(questions.map((ids) => texts(model, ids)));
  const cached = await Promise.all([...questions, ...questions].map((ids) => texts(model, ids, file)));
  cached.forEach(({ bytes }, i) => {
    expect(bytes.equals(plain[i % 2]!.bytes)).toBe(true);
  });
});

describe('where rotations depend on the length of a prompt', () => {
  test.each(['phi3-longrope-crossing', 'phi3-longrope-long', 'llama-dynamic-crossing', 'llama-dynamic-long'])(
    '%s',
    async (name) => {
      const model = await openModel(fixture(name), { contextLength: 200 });
      const file = join(temporaryFolder(), 'document.safetensors');
      for (const ids of [
        tokens(40),
        tokens(44),
        tokens(120),
        [...tokens(120), ...tokens(30, 1)],
        tokens(150),
        tokens(44),
      ]) {
        const cached = await texts(model, ids, file);
        expect(cached.bytes.equals((await texts(model, ids)).bytes)).toBe(true);
      }
    },
  );
});

describe('a file that cannot be used', () => {
  async function saved() {
    const model = await openModel(fixture('llama'));
    const file = join(temporaryFolder(), 'document.safetensors');
    await texts(model, questions[0]!, file);
    return { model, file };
  }
  const refusal = async (model: LanguageModel, file: string) => {
    const error = await texts(model, questions[0]!, file).catch((reason: unknown) => reason);
    if (!PromptCacheError.isInstance(error)) throw error;
    expect(error.file).toBe(file);
    return error.reason;
  };

  test('belongs to other settings or another model', async () => {
    const { file } = await saved();
    const int8 = await openModel(fixture('llama'), { kvCacheDtype: 'int8' });
    expect(await refusal(int8, file)).toMatch(/kvCacheDtype "float32".*"int8"/);
    const reference = await openModel(fixture('llama'), { executor: 'reference' });
    expect(await refusal(reference, file)).toMatch(/executor/);
    expect(await refusal(await openModel(fixture('qwen3')), file)).toMatch(/type "llama"/);
    const copy = join(temporaryFolder(), 'copy');
    cpSync(fixture('llama'), copy, { recursive: true });
    utimesSync(join(copy, 'model.safetensors'), 1, 1);
    expect(await refusal(await openModel(copy), file)).toMatch(/other weights/);
  });

  test('is damaged anywhere', async () => {
    const { model, file } = await saved();
    const { tensors, fileBytes } = await openSafetensors(file);
    const good = readFileSync(file);
    const places = ['tokens', 'layers.0.states.0', 'layers.1.states.0', 'checksums'].map(
      (name) => tensors.get(name)!.extent!.offset + 5,
    );
    for (const at of [2, 40, ...places]) {
      const bytes = Buffer.from(good);
      bytes[at]! ^= 0x10;
      writeFileSync(file, bytes);
      await refusal(model, file);
    }
    for (const length of [0, 100, fileBytes - 100]) {
      writeFileSync(file, good.subarray(0, length));
      await refusal(model, file);
    }
    writeFileSync(file, good);
    expect((await texts(model, questions[0]!, file)).cached).toBe(119);
  });

  test('is something else, and then nobody is told to delete it', async () => {
    const model = await openModel(fixture('llama'));
    for (const name of ['model.safetensors', 'config.json']) {
      const file = join(fixture('llama'), name);
      const error = await texts(model, questions[0]!, file).catch((reason: unknown) => reason);
      expect(PromptCacheError.isInstance(error)).toBe(true);
      expect((error as Error).message).toMatch(/(not a|no) prompt cache/);
      expect((error as Error).message).not.toContain('delete');
    }
  });

  test('lies nowhere, or cannot be written: the answer comes all the same', async () => {
    const warnings: string[] = [];
    const model = await openModel(fixture('llama'), { onWarning: (line) => warnings.push(line) });
    const nowhere = join(temporaryFolder(), 'no', 'document.safetensors');
    await expect(texts(model, questions[0]!, nowhere)).rejects.toSatisfy(OptionError.isInstance);
    if (process.getuid?.() !== 0 || process.platform !== 'linux') return;
    const answer = await texts(model, questions[0]!, '/proc/document.safetensors');
    expect(answer.generated).toHaveLength(8);
    await model.dispose();
    expect(warnings.join()).toMatch(/prompt cache was not saved/);
  });

  test('nothing is left of one that was begun', async () => {
    const { file } = await saved();
    expect(readdirSync(join(file, '..'))).toEqual(['document.safetensors']);
  });
});
