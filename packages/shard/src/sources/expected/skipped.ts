/** Keys under which configurations list modules that stay dense. */
const KEYS = [
  'modules_to_not_convert',
  'llm_int8_skip_modules',
  'ignored_layers',
  'ignore',
  'exclude_modules',
  'skip_modules',
];

/**
 * Whether a configuration leaves a module out: by its name, by a part of its path, or by a pattern with `*`. Regular
 * expressions (`re:…`) are read as such patterns where they are no more than that, and otherwise disregarded: those of an
 * untrusted file may take forever.
 */
export function skippedModules(quantisation: Readonly<Record<string, unknown>>): (module: string) => boolean {
  const entries = KEYS.flatMap((key) => quantisation[key]).filter((entry) => typeof entry === 'string');
  const patterns = entries.map(patternOf).filter((pattern) => pattern !== undefined);
  return (module) => patterns.some((pattern) => matches(pattern, module));
}

/** Whether an entry of such a list means a module. */
export function matchesModule(entry: string, module: string): boolean {
  const pattern = patternOf(entry);
  return pattern !== undefined && matches(pattern, module);
}

/** Literal pieces between stars. */
type Pattern = readonly string[];

function patternOf(entry: string): Pattern | undefined {
  if (!entry.startsWith('re:')) return entry.split('*');
  const glob = entry
    .slice('re:'.length)
    .replace(/^\^|\$$/g, '')
    .replaceAll('.*', '*')
    .replaceAll('\\.', '.');
  return /^[\w.*-]*$/.test(glob) ? glob.split('*') : undefined;
}

/** Whether the pieces occur in order, beginning and ending where a part of the path does. */
function matches(pieces: Pattern, module: string): boolean {
  const path = `.${module}.`;
  let at = 0;
  for (const [i, piece] of pieces.entries()) {
    const wanted = (i === 0 ? '.' : '') + piece + (i === pieces.length - 1 ? '.' : '');
    const found = path.indexOf(wanted, at);
    if (found < 0) return false;
    at = found + wanted.length - (wanted.endsWith('.') ? 1 : 0);
  }
  return true;
}
