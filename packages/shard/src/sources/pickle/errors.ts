import { AirllmError, FormatError, isMarked, mark } from '@airllm/loader';

/**
 * A pickle asks for something that loading weights never needs. Nothing of it was looked up or executed: the
 * unpickler knows a list of names, and everything else ends here.
 */
export class UnsafePickleError extends AirllmError {
  readonly file: string;
  /** What was asked for, in full and as the file spells it: `posix.system`. */
  readonly global: string;

  constructor(facts: { file: string; module: string; name: string }) {
    const global = printable(`${facts.module}.${facts.name}`);
    const known = wellKnownName(facts.module, facts.name);
    super(
      'ERR_UNSAFE_PICKLE',
      `${facts.file}: the pickle asks for ${global}${known === undefined ? '' : ` (${known})`}, which weights do not ` +
        'need; nothing was executed. Get a safetensors version of this model; or, only if you trust whoever made ' +
        'the file, convert it to safetensors with PyTorch',
    );
    mark(this, 'UnsafePickleError');
    this.file = facts.file;
    this.global = global;
  }

  static override isInstance(error: unknown): error is UnsafePickleError {
    return isMarked(error, 'UnsafePickleError');
  }
}

/** Modules under which pickles know what people know by another name. */
const ALIASES: Readonly<Record<string, string>> = { posix: 'os', nt: 'os', __builtin__: 'builtins' };

function wellKnownName(module: string, name: string): string | undefined {
  const alias = Object.hasOwn(ALIASES, module) ? ALIASES[module] : undefined;
  return alias === undefined ? undefined : printable(`${alias}.${name}`);
}

/** Text of an untrusted file as one line that a terminal can show. */
export function printable(text: string, length = 200): string {
  const line = text.length > length ? `${text.slice(0, length)}…` : text;
  const escaped = (character: string) => `\\u{${character.codePointAt(0)!.toString(16)}}`;
  return line.replace(/[\p{C}\p{Z}]/gu, (character) => (character === ' ' ? character : escaped(character)));
}

/** What to do about a file that is damaged, or was never what PyTorch writes. */
const DOWNLOAD_AGAIN = 'download it again, or get a safetensors version of the model';
/** What to do about a sound file that is not read here. */
export const CONVERT = 'convert it to safetensors with PyTorch';

/** Refuses a file with the reason and what to do. */
export function refuse(file: string, reason: string, advice: string = DOWNLOAD_AGAIN): never {
  throw new FormatError({ file, reason: `${reason}; ${advice}` });
}
