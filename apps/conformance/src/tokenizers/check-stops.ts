import { existsSync } from 'node:fs';
import path from 'node:path';
import { endTokens } from '@airllm/runtime';
import type { ExpectedStops, TokenizerCheck } from './format';
import { Tally } from './tally';

/** The end tokens of real repositories: from the listed ids, and from the files themselves where the folder is here. */
export async function checkStops(models: readonly ExpectedStops[], treeDir: string): Promise<TokenizerCheck> {
  const tally = new Tally('stop-tokens');
  for (const { model, generation_config, config, text_config, tokenizer_eos_id, stop } of models) {
    const tokenizer = { eosId: tokenizer_eos_id ?? undefined };
    const listed = {
      generationConfig: generation_config === null ? undefined : { eos_token_id: generation_config },
      config: { eos_token_id: config, text_config: { eos_token_id: text_config } },
    };
    const found = await endTokens(listed, tokenizer);
    tally.equal(model, sorted(found), sorted(stop));
    const dir = path.join(treeDir, model);
    if (!existsSync(dir)) continue;
    tally.equal(`${model} from its files`, sorted(await endTokens(dir, tokenizer)), sorted(stop));
  }
  return tally.result();
}

const sorted = (ids: Iterable<number>): number[] => [...ids].sort((a, b) => a - b);
