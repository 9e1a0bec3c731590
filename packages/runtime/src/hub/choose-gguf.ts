import { OptionError } from '@airllm/loader';
import type { HubFile } from './types';

/** `name-00001-of-00003.gguf`: parts of one model. */
const PART = /-\d{5}-of-\d{5}(?=\.gguf$)/;
/** What is taken where nobody says: as llama.cpp and Ollama do, for it keeps nearly all of a model at 4.8 bits a weight. */
const USUAL = 'Q4_K_M';
/** Named in an error. */
const MOST_NAMED = 30;

/**
 * The GGUF files of one model, all of its parts; none where there are no GGUF files. Throws `OptionError` where the
 * quantisation is not among them, or it has to be named.
 */
export function chooseGguf(files: readonly HubFile[], quantisation: string | undefined): readonly HubFile[] {
  // Files of a vision tower or an importance matrix are no models.
  const all = files.filter(({ path }) => path.endsWith('.gguf') && !/(^|\/)(mmproj|imatrix)/i.test(path));
  const models = modelsOf(all);
  if (models.size <= 1 && quantisation === undefined) return all;
  const wanted = quantisation ?? USUAL;
  const found = [...models].filter(([name]) => carries(name, wanted));
  if (found.length === 1) return found[0]![1];
  if (models.size === 0) return [];
  throw new OptionError({
    option: 'quantisation',
    expected: `one of ${listed(found.length > 1 ? found : [...models])}`,
    found: quantisation,
  });
}

/** Files by the name of their model, without part and ending. */
function modelsOf(files: readonly HubFile[]): Map<string, HubFile[]> {
  const models = new Map<string, HubFile[]>();
  for (const file of files) {
    const name = file.path.replace(PART, '').replace(/\.gguf$/, '');
    const parts = models.get(name);
    if (parts === undefined) models.set(name, [file]);
    else parts.push(file);
  }
  return models;
}

/** Whether a name carries the quantisation as a word: `Q4_K` is not in `Q4_K_M`. */
function carries(name: string, quantisation: string): boolean {
  const word = quantisation.toLowerCase().replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`(^|[./-])${word}(?=[./-]|$)`).test(name.toLowerCase());
}

/** `Q4_K_M` of `name-Q4_K_M`, or the whole name where that would not tell it from the others. */
function listed(models: readonly (readonly [name: string, files: readonly HubFile[]])[]): string {
  const short = models.map(([name]) => quantisationOf(name));
  const texts = models.map(([name, files], i) => {
    const isAlone = short.filter((each) => each === short[i]).length === 1;
    return `${isAlone ? short[i] : name} (${sizeOf(files)})`;
  });
  return texts.length > MOST_NAMED ? `${texts.slice(0, MOST_NAMED).join(', ')}, …` : texts.join(', ');
}

function sizeOf(files: readonly HubFile[]): string {
  const megabytes = files.reduce((sum, { size }) => sum + size, 0) / 1e6;
  return megabytes < 1000 ? `${Math.ceil(megabytes)} MB` : `${(megabytes / 1000).toPrecision(3)} GB`;
}

function quantisationOf(name: string): string {
  return /(?:^|[./-])((?:ud-)?(?:i?q\d\w*|tq\d\w*|bf16|f16|f32|mxfp4\w*))$/i.exec(name)?.[1] ?? name;
}
