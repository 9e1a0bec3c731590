import { describe, expect, it } from 'vitest';
import { endTokens } from './end-tokens';

const none = { eosId: undefined };

describe('endTokens', () => {
  it('joins generation_config with the tokenizer', async () => {
    const files = { generationConfig: { eos_token_id: [1, 2] }, config: { eos_token_id: 9 } };
    expect(await endTokens(files, { eosId: 3 })).toEqual(new Set([1, 2, 3]));
  });

  it('falls back to config, then to its text_config', async () => {
    expect(await endTokens({ generationConfig: {}, config: { eos_token_id: 9 } }, none)).toEqual(new Set([9]));
    const nested = { config: { eos_token_id: null, text_config: { eos_token_id: [4] } } };
    expect(await endTokens(nested, null)).toEqual(new Set([4]));
  });

  it('is empty where nobody names any', async () => {
    expect(await endTokens({}, none)).toEqual(new Set());
  });

  it('ignores what is no token id', async () => {
    expect(await endTokens({ config: { eos_token_id: [-1, 1.5, '7', 0] } }, none)).toEqual(new Set([0]));
  });
});
