import { OptionError } from '@airllm/loader';
import type { HubFile } from '../types';

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
  const all = files.filter(isModel);
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

/** A model of a repository's GGUF files, as addresses name it. */
export interface GgufModel {
  /** `Q4_K_M`, or the whole name where that would not tell it from the others. */
  readonly name: string;
  readonly files: readonly Sized[];
  readonly bytes: number;
}

type Sized = Pick<HubFile, 'path' | 'size'>;

/** The models among files, each with all of its parts. */
export function ggufModels(files: readonly Sized[]): GgufModel[] {
  return named([...modelsOf(files.filter(isModel))]);
}

/** Files of a vision tower or an importance matrix are none. */
function isModel({ path }: Sized): boolean {
  return path.endsWith('.gguf') && !/(^|\/)(mmproj|imatrix)/i.test(path);
}

/** Files by the name of their model, without part and ending. */
function modelsOf<File extends Sized>(files: readonly File[]): Map<string, File[]> {
  const models = new Map<string, File[]>();
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

type Named = readonly (readonly [name: string, files: readonly Sized[]])[];

function named(models: Named): GgufModel[] {
  const short = models.map(([name]) => quantisationOf(name));
  return models.map(([name, files], i) => {
    const isAlone = short.filter((each) => each === short[i]).length === 1;
    const bytes = files.reduce((sum, { size }) => sum + size, 0);
    return { name: isAlone ? short[i]! : name, files, bytes };
  });
}

function listed(models: Named): string {
  const texts = named(models).map(({ name, bytes }) => `${name} (${shownSize(bytes)})`);
  return texts.length > MOST_NAMED ? `${texts.slice(0, MOST_NAMED).join(', ')}, …` : texts.join(', ');
}

function shownSize(bytes: number): string {
  const megabytes = bytes / 1e6;
  return megabytes < 1000 ? `${Math.ceil(megabytes)} MB` : `${(megabytes / 1000).toPrecision(3)} GB`;
}

function quantisationOf(name: string): string {
  return /(?:^|[./-])((?:ud-)?(?:i?q\d\w*|tq\d\w*|bf16|f16|f32|mxfp4\w*))$/i.exec(name)?.[1] ?? name;
}
