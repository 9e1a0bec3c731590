import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { type GenerateResult, type LanguageModel, renderChat } from '@airllm/runtime';
import { type Comparison, compareText, compareTokens, scientific } from './compare';
import { type ModelOptions, openModel } from './open-model';

/** One case of a model's `expected.json`: a prompt or a chat, and what the reference made of it. */
interface ModelCase {
  readonly messages: { role: 'system' | 'user' | 'assistant'; content: string }[] | null;
  readonly prompt: string;
  readonly prompt_ids: number[];
  /** Greedy; ends with an end token if one came before the limit. */
  readonly new_ids: number[];
  /** Without special tokens. */
  readonly new_text: string;
  /** The five best after the prompt, best first: id and logit, rounded to five decimals. */
  readonly top5: [id: number, logit: number][];
}

/** The reference generated so many tokens unless an end token stopped it. */
const maxNewTokens = 64;
/** Absolute, on trained models whose logits reach 20. */
const top5Tolerance = 2e-3;

/** Compares a trained checkpoint and its tokenizer with `expected.json`: greedy tokens, text, and the best first logits. */
export async function checkModel(dir: string, options: ModelOptions): Promise<Comparison[]> {
  const { cases } = JSON.parse(await readFile(path.join(dir, 'expected.json'), 'utf8')) as { cases: ModelCase[] };
  const model = await openModel(dir, options);
  try {
    let largest = 0;
    const failures: Comparison[] = [];
    for (const [index, one] of cases.entries()) {
      const { error, comparisons } = await checkCase(model, one);
      largest = Math.max(largest, error);
      for (const { ok, fact } of comparisons) if (!ok) failures.push({ ok, fact: `case ${index}: ${fact}` });
    }
    const tokens = cases.reduce((total, one) => total + one.new_ids.length, 0);
    const equal = failures.length === 0 ? `${tokens} tokens and texts equal` : `${cases.length} cases`;
    return [
      { ok: cases.length > 0, fact: `top-5 logits ${scientific(largest)}` },
      { ok: true, fact: equal },
      ...failures,
    ];
  } finally {
    await model.dispose();
  }
}

async function checkCase(model: LanguageModel, one: ModelCase): Promise<{ error: number; comparisons: Comparison[] }> {
  const input = one.messages === null ? { prompt: one.prompt } : { messages: one.messages };
  const result = await model.generate({ ...input, maxNewTokens, doSample: false, returnLogits: true });
  const top5 = compareTop5(result.logits![0]!, one.top5);
  const tokens = compareTokens(result.ids, one.new_ids);
  return {
    error: top5.error,
    comparisons: [...comparePrompt(model, one), top5, tokens, ...compareTexts(model, one, result)],
  };
}

/** The chat template's text, and the ids of it or of the plain prompt. */
function comparePrompt({ tokenizer, chatTemplate }: LanguageModel, one: ModelCase): Comparison[] {
  if (tokenizer === null) return [{ ok: false, fact: 'the folder has no tokenizer' }];
  const ids = (found: number[]) => {
    const { ok, fact } = compareTokens(found, one.prompt_ids);
    return { ok, fact: `prompt: ${fact}` };
  };
  if (one.messages === null) return [ids(tokenizer.encode(one.prompt))];
  const text = renderChat(chatTemplate, one.messages, { addGenerationPrompt: true });
  return [compareText('chat', text, one.prompt), ids(tokenizer.encode(text, { addSpecialTokens: false }))];
}

/**
 * `new_text` is the new tokens decoded alone, which for some tokenizers lacks the space they begin with; what a
 * generation returns continues the prompt, space and all.
 */
function compareTexts({ tokenizer }: LanguageModel, one: ModelCase, result: GenerateResult): Comparison[] {
  const decode = (ids: readonly number[]) => tokenizer!.decode(ids, { skipSpecialTokens: true });
  const prompt = decode(one.prompt_ids);
  return [
    compareText('decoded text', decode(result.ids), one.new_text),
    compareText('generated text', prompt + result.text, decode([...one.prompt_ids, ...result.ids])),
  ];
}

function compareTop5(logits: Float32Array, expected: ModelCase['top5']): Comparison & { error: number } {
  const best = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]!).slice(0, expected.length);
  const error = Math.max(...expected.map(([id, logit]) => Math.abs(logits[id]! - logit)));
  const order = compareTokens(
    best,
    expected.map(([id]) => id),
  );
  const ok = order.ok && error <= top5Tolerance;
  return { ok, error, fact: `top-5 logits ${scientific(error)}${order.ok ? '' : `, ${order.fact}`}` };
}
