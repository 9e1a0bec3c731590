import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OptionError } from '@airllm/loader';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AutoModel } from '../auto/auto-model';
import type { LanguageModel } from '../auto/language-model';
import { textModel } from '../testing/text-model';
import type { BatchAnswer } from './answers';
import { LineLedger } from './line-ledger';
import { type BatchLines, runBatch } from './run-batch';
import type { BatchProgress, RunBatchOptions } from './types';

let dir: string;
let model: LanguageModel;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'airllm batch #'));
  model = await AutoModel.fromPretrained(textModel(dir), { contextLength: 128 });
});
afterAll(async () => {
  await model.dispose();
  await rm(dir, { recursive: true });
});

const CHAT = '/v1/chat/completions';
const TEXT = '/v1/completions';

const line = (customId: unknown, url: unknown, body: unknown, more = {}) =>
  JSON.stringify({ custom_id: customId, method: 'POST', url, body, ...more });
const chat = (customId: string, content: string, body = {}) =>
  line(customId, CHAT, { messages: [{ role: 'user', content }], max_tokens: 4, ...body });
const text = (customId: string, prompt: unknown, body = {}) => line(customId, TEXT, { prompt, max_tokens: 4, ...body });

async function answers(lines: BatchLines, options?: RunBatchOptions): Promise<BatchAnswer[]> {
  const all: BatchAnswer[] = [];
  for await (const answer of runBatch(model, lines, options)) all.push(answer);
  return all;
}

/** Answers by `custom_id`; bodies are looked into freely. */
async function byId(lines: BatchLines, options?: RunBatchOptions) {
  const all = await answers(lines, options);
  // biome-ignore lint/suspicious/noExplicitAny: JSON
  return new Map<string, any>(all.map((answer) => [answer.custom_id ?? `line ${answer.error!.line}`, answer]));
}

describe('answers', () => {
  test('are what generate says, in OpenAI’s form', async () => {
    const expected = await model.generate({ messages: [{ role: 'user', content: 'Grüße 🐘\u2028' }], maxNewTokens: 4 });
    const raw = await model.generate({ prompt: 'Hello', maxNewTokens: 4 });
    const found = await byId([chat('a', 'Grüße 🐘\u2028'), text('b', 'Hello')]);
    expect(found.get('a')).toEqual({
      id: expect.stringMatching(/^batch_req_[0-9a-f]{32}$/),
      custom_id: 'a',
      response: {
        status_code: 200,
        request_id: expect.any(String),
        body: {
          id: expect.stringMatching(/^chatcmpl-/),
          object: 'chat.completion',
          created: expect.any(Number),
          model: 'model',
          choices: [
            {
              index: 0,
              message: { role: 'assistant', content: expected.text, refusal: null },
              logprobs: null,
              finish_reason: 'length',
            },
          ],
          usage: {
            prompt_tokens: expected.usage.promptTokens,
            completion_tokens: 4,
            total_tokens: expected.usage.promptTokens + 4,
          },
          system_fingerprint: null,
        },
      },
      error: null,
    });
    expect(found.get('b').response.body).toMatchObject({
      object: 'text_completion',
      choices: [{ index: 0, text: raw.text, logprobs: null, finish_reason: 'length' }],
      usage: { prompt_tokens: 5, completion_tokens: 4, total_tokens: 9 },
    });
  });

  test('obey the options of their own body, and the defaults where it says nothing', async () => {
    const sampled = { temperature: 0.8, top_p: 0.9, top_k: 20, seed: 5, logit_bias: { 40: 3 }, ignore_eos: true };
    const found = await byId(
      [text('a', 'Hello', sampled), line('b', TEXT, { prompt: 'Hello' }), chat('c', 'x', { max_completion_tokens: 2 })],
      { defaults: { maxNewTokens: 3, ignoreEos: true } },
    );
    const alone = await model.generate({
      prompt: 'Hello',
      maxNewTokens: 4,
      temperature: 0.8,
      topP: 0.9,
      topK: 20,
      seed: 5,
      logitBias: { 40: 3 },
      ignoreEos: true,
    });
    expect(found.get('a').response.body.choices[0].text).toBe(alone.text);
    expect(found.get('b').response.body.usage.completion_tokens).toBe(3);
    expect(found.get('c').response.body.usage.completion_tokens).toBe(2);
  });

  test('may begin with the prompt, go on with a message, and be kept from repeating themselves', async () => {
    const penalties = { frequency_penalty: 1.5, presence_penalty: -0.5, ignore_eos: true };
    const messages = [
      { role: 'user', content: 'x' },
      { role: 'assistant', content: 'y' },
    ];
    const found = await byId([
      text('echo', ['Hello', [10, 11]], { echo: true, n: 1, best_of: 1 }),
      text('plain', ['Hello', [10, 11]]),
      text('penalised', 'Hello', { ...penalties, seed: -1, top_p: 0 }),
      chat('whole', 'a\nb'),
      chat('parts', 'x', { messages: [{ role: 'user', content: ['a', 'b'].map((text) => ({ type: 'text', text })) }] }),
      chat('continued', 'x', { messages, continue_final_message: true, modalities: ['text'], prediction: null }),
    ]);
    expect(found.get('parts').response.body.choices).toEqual(found.get('whole').response.body.choices);
    const texts = (id: string) => found.get(id).response.body.choices.map(({ text }: { text: string }) => text);
    const spelled = [10, 11].map((id) => model.tokenizer!.idToToken(id)).join('');
    expect(texts('echo')).toEqual([`Hello${texts('plain')[0]}`, `${spelled}${texts('plain')[1]}`]);
    const given = { frequencyPenalty: 1.5, presencePenalty: -0.5, ignoreEos: true, maxNewTokens: 4 };
    const penalised = await model.generate({ prompt: 'Hello', ...given, topK: 1 });
    expect(texts('penalised')).toEqual([penalised.text]);
    const continued = await model.generate({ messages, maxNewTokens: 4, chat: { continueFinalMessage: true } });
    expect(found.get('continued').response.body.choices[0].message.content).toBe(continued.text);
  });

  test('have several choices for n and for several prompts, numbered through', async () => {
    const options = { temperature: 1, seed: 9, n: 2, ignore_eos: true };
    const found = await byId([
      text('n', 'Hello', options),
      text('prompts', ['Hello', [10, 11]], { ignore_eos: true }),
      text('ids', [10, 11], { ignore_eos: true }),
    ]);
    const choices = (id: string) => found.get(id).response.body.choices;
    const drawn = await model.generate({
      prompt: 'Hello',
      maxNewTokens: 4,
      temperature: 1,
      seed: 9,
      ignoreEos: true,
      numReturnSequences: 2,
    });
    expect(choices('n').map(({ text }: { text: string }) => text)).toEqual(drawn.sequences!.map(({ text }) => text));
    expect(found.get('n').response.body.usage).toEqual({ prompt_tokens: 5, completion_tokens: 8, total_tokens: 13 });
    expect(choices('prompts')).toHaveLength(2);
    expect(choices('prompts')[1]).toEqual({ ...choices('ids')[0], index: 1 });
    expect(found.get('prompts').response.body.usage.prompt_tokens).toBe(7);
  });

  test('tell log probabilities as each API has them', async () => {
    const found = await byId([
      chat('chat', 'Hi', { logprobs: true, top_logprobs: 2 }),
      text('text', 'Hi', { logprobs: 2 }),
      chat('none', 'Hi', { logprobs: false }),
    ]);
    const { content } = found.get('chat').response.body.choices[0].logprobs;
    const told = await model.generate({ messages: [{ role: 'user', content: 'Hi' }], maxNewTokens: 4, topLogprobs: 2 });
    expect(content).toEqual(
      told.logprobs!.map(({ token, logprob, top }) => ({
        token,
        logprob,
        bytes: [...Buffer.from(token)],
        top_logprobs: top.map(({ token, logprob }) => ({ token, logprob, bytes: [...Buffer.from(token)] })),
      })),
    );
    const { tokens, token_logprobs, top_logprobs, text_offset } = found.get('text').response.body.choices[0].logprobs;
    expect(tokens.join('')).toBe(found.get('text').response.body.choices[0].text);
    expect(text_offset).toEqual([0, 1, 2, 3]);
    expect(top_logprobs.map((top: object, i: number) => (top as Record<string, number>)[tokens[i]])).toEqual(
      token_logprobs,
    );
    expect(found.get('none').response.body.choices[0].logprobs).toBe(null);
  });
});

test('response_format is followed', async () => {
  const schema = { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'] };
  const found = await byId([
    chat('a', 'x', { max_tokens: 100, response_format: { type: 'json_schema', json_schema: { name: 'x', schema } } }),
    chat('b', 'x', { response_format: { type: 'text' } }),
  ]);
  const content = (id: string) => found.get(id).response.body.choices[0].message.content;
  expect(JSON.parse(content('a'))).toEqual({ ok: expect.any(Boolean) });
  expect(content('b')).toHaveLength(4);
});

describe('bad lines get an error for an answer, with their number, and disturb nobody', () => {
  const body = { messages: [{ role: 'user', content: 'x' }] };
  const cases: [code: string, param: string | null, line: string | Uint8Array][] = [
    ['invalid_json', null, '{"custom_id": "x", '],
    ['invalid_json', null, '[1]'],
    ['invalid_json', null, 'null'],
    ['invalid_utf8', null, Uint8Array.of(0x7b, 0xff, 0x7d)],
    ['missing_custom_id', 'custom_id', JSON.stringify({ url: CHAT, body })],
    ['missing_custom_id', 'custom_id', line('', CHAT, body)],
    ['missing_custom_id', 'custom_id', line(7, CHAT, body)],
    ['duplicate_custom_id', 'custom_id', chat('good', 'again')],
    ['invalid_method', 'method', line('method', CHAT, body, { method: 'GET' })],
    ['invalid_url', 'url', line('url', '/v1/embeddings', body)],
    ['invalid_url', 'url', line('no url', undefined, body)],
    ['invalid_url', 'url', line('proto', 'constructor', body)],
    ['invalid_request', 'body', line('no body', CHAT, undefined)],
    ['invalid_request', 'messages', line('no messages', CHAT, {})],
    ['invalid_request', 'messages[0]', line('odd message', CHAT, { messages: ['x'] })],
    [
      'invalid_request',
      'messages[0].content[1]',
      line('image', CHAT, {
        messages: [{ role: 'user', content: [{ type: 'text', text: 'x' }, { type: 'image_url' }] }],
      }),
    ],
    ['invalid_request', 'prompt', line('odd prompt', TEXT, { prompt: [1, 'x'] })],
    ['invalid_request', 'prompt', line('unknown id', TEXT, { prompt: [1, 99999] })],
    ['invalid_request', 'temperature', chat('hot', 'x', { temperature: 9 })],
    ['invalid_request', 'repetition_penalty', chat('none', 'x', { repetition_penalty: 0 })],
    ['invalid_request', 'frequency_penalty', chat('rare', 'x', { frequency_penalty: 2.5 })],
    ['invalid_request', 'logit_bias', chat('bias', 'x', { logit_bias: { 1: 101 } })],
    ['invalid_request', 'logit_bias', chat('bias of nothing', 'x', { logit_bias: { 99999: 1 } })],
    ['invalid_request', 'stream', chat('stream', 'x', { stream: true })],
    ['invalid_request', 'top_logprobs', chat('logprobs', 'x', { top_logprobs: 1 })],
    ['invalid_request', 'n', chat('greedy n', 'x', { n: 2, temperature: 0 })],
    ['invalid_request', 'response_format', chat('xml', 'x', { response_format: { type: 'xml' } })],
    [
      'invalid_request',
      'response_format',
      chat('schema', 'x', {
        response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { type: 'odd' } } },
      }),
    ],
    ['invalid_request', 'echo', text('echo', 'x', { echo: true, logprobs: 1 })],
    ['invalid_request', 'best_of', text('best', 'x', { best_of: 3 })],
    ['invalid_request', 'audio', chat('audio', 'x', { audio: { voice: 'alloy' } })],
    ['invalid_request', 'bestof', chat('unknown', 'x', { bestof: 3 })],
    ['context_length_exceeded', null, text('long', 'x'.repeat(200))],
    ['context_length_exceeded', null, text('long answer', 'x', { max_tokens: 4000 })],
    ['context_length_exceeded', null, text('one of them', ['x', 'y'.repeat(200), 'z'])],
  ];

  test('all of them in one batch', async () => {
    const lines = [chat('good', 'Hello'), ...cases.map(([, , line]) => line), chat('last', 'Hello')];
    const all = await answers(lines);
    expect(all).toHaveLength(lines.length);
    const failed = all.filter(({ error }) => error !== null);
    const byLine = new Map(failed.map((answer) => [answer.error!.line, answer]));
    for (const [i, [code, param, line]] of cases.entries()) {
      const { error, response, custom_id } = byLine.get(i + 2)!;
      expect({ code: error!.code, param: error!.param }, String(line)).toEqual({ code, param });
      expect(error!.message).not.toBe('');
      const isRequest = code === 'invalid_request' || code === 'context_length_exceeded';
      expect(response?.status_code).toBe(isRequest ? 400 : undefined);
      const given = typeof line === 'string' && /^\{.*\}$/.test(line) ? JSON.parse(line).custom_id : null;
      expect(custom_id).toBe(typeof given === 'string' && given !== '' ? given : null);
    }
    const good = all.filter(({ error }) => error === null);
    expect(good.map(({ custom_id }) => custom_id).sort()).toEqual(['good', 'last']);
    expect(good[0]!.response!.body.choices).toEqual(good[1]!.response!.body.choices);
  });

  test('but defaults that make no sense are not the lines’ fault', async () => {
    const error = await answers([chat('good', 'Hello')], { defaults: { topP: 3 } }).catch((error) => error);
    expect(OptionError.isInstance(error) && error.option).toBe('topP');
  });

  test('many more of them than fit in memory at once', async () => {
    let count = 0;
    const lines = (function* () {
      for (let i = 0; i < 500; i++) yield '{';
    })();
    for await (const { error } of runBatch(model, lines)) {
      count++;
      expect(error!.line).toBe(count);
    }
    expect(count).toBe(500);
  });
});

test('blank lines and a byte order mark ask for nothing', async () => {
  const all = await answers([`\uFEFF${chat('a', 'x')}`, '', '  \r', Buffer.from(`\uFEFF${chat('b', 'x')}\r`)]);
  expect(all.map(({ custom_id, error }) => [custom_id, error]).sort()).toEqual([
    ['a', null],
    ['b', null],
  ]);
});

test('what earlier runs have answered is not asked again, bad lines included', async () => {
  const lines = [chat('a', 'x'), '{', chat('a', 'y'), chat('b', 'x'), '{', chat('c', 'x')];
  const first = await answers(lines);
  expect(first).toHaveLength(6);
  const answered = new LineLedger();
  // Of the last line's answer and one of the bad ones nothing is left.
  const kept = first.filter(({ custom_id, error }) => custom_id !== 'c' && error?.line !== 5);
  for (const answer of kept) answered.record(answer);
  let progress: BatchProgress | undefined;
  const again = await answers(lines, {
    answered,
    onProgress: (now) => {
      progress = now;
    },
  });
  expect(again.map(({ custom_id, error }) => custom_id ?? error!.line).sort()).toEqual([5, 'c']);
  expect(progress).toMatchObject({ answered: 2, failed: 1, skipped: 4, active: 0 });
  expect(progress!.bytesDone).toBe(lines.reduce((sum, line) => sum + line.length + 1, 0));
  for (const answer of again) answered.record(answer);
  expect(await answers(lines, { answered })).toEqual([]);
});

test('lines are taken as they are needed, and given up when nobody reads on', async () => {
  let taken = 0;
  let closed = false;
  async function* endless() {
    try {
      for (;;) yield chat(`${taken++}`, 'x', { max_tokens: 2 });
    } finally {
      closed = true;
    }
  }
  let count = 0;
  for await (const { error } of runBatch(model, endless(), { maxActive: 3 })) {
    expect(error).toBe(null);
    if (++count === 10) break;
  }
  expect(taken).toBeLessThan(count + 12);
  await expect.poll(() => closed).toBe(true);
});

test('a source that throws ends the batch behind what was begun; a signal ends it at once', async () => {
  async function* failing() {
    yield chat('a', 'x');
    throw new RangeError('the drive is gone');
  }
  const all: (string | null)[] = [];
  const reading = (async () => {
    for await (const { custom_id } of runBatch(model, failing())) all.push(custom_id);
  })();
  await expect(reading).rejects.toThrow('the drive is gone');
  expect(all).toEqual(['a']);
  const signal = AbortSignal.timeout(30);
  const endless = (function* () {
    for (let i = 0; ; i++) yield chat(`${i}`, 'x', { max_tokens: 60, ignore_eos: true });
  })();
  await expect(answers(endless, { signal })).rejects.toHaveProperty('name', 'TimeoutError');
});

test('a model that fails ends the batch: nothing is recorded against the line', async () => {
  const broken = {
    tokenizer: model.tokenizer,
    info: model.info,
    // What a drive that fails looks like.
    async *generateBatch<R>(requests: Iterable<R> | AsyncIterable<R>) {
      let index = 0;
      for await (const request of requests) yield { index: index++, request, error: new Error('EIO') };
    },
  };
  const reading = async () => {
    for await (const answer of runBatch(broken, [chat('a', 'x')])) expect(answer).toBe('never');
  };
  await expect(reading()).rejects.toThrow('EIO');
});
