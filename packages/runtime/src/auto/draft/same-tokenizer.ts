import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OptionError } from '@airllm/loader';
import { loadTokenizer, type Tokenizer } from '../../text';

/**
 * Makes sure that two models mean the same by every token id that both have. Throws `OptionError` naming `draftModel` and
 * the first id that differs. Without tokenizers there is nothing to compare.
 */
export async function checkSameTokenizer(dir: string, draftDir: string, signal?: AbortSignal): Promise<void> {
  const [file, draftFile] = await Promise.all([dir, draftDir].map(tokenizerBytes));
  if (file === undefined || draftFile === undefined || file.equals(draftFile)) return;
  const [own, draft] = [await loadTokenizer(dir, { signal }), await loadTokenizer(draftDir, { signal })];
  const id = own && draft && firstDifference(own, draft);
  if (id === null || id === undefined) return;
  throw new OptionError({
    option: 'draftModel',
    expected: `a model with the tokenizer of ${dir}, where token ${id} is ${JSON.stringify(own!.idToToken(id))}`,
    found: `${draftDir}, where it is ${JSON.stringify(draft!.idToToken(id))}`,
  });
}

/** The first id that stands for different tokens. Names may be missing at the end: vocabularies are padded. */
function firstDifference(a: Tokenizer, b: Tokenizer): number | null {
  const shared = Math.min(a.vocabSize, b.vocabSize);
  for (let id = 0; id < shared; id++) {
    const [token, other] = [a.idToToken(id), b.idToToken(id)];
    if (token !== undefined && other !== undefined && token !== other) return id;
  }
  return null;
}

async function tokenizerBytes(dir: string): Promise<Buffer | undefined> {
  return readFile(join(dir, 'tokenizer.json')).catch(() => undefined);
}
