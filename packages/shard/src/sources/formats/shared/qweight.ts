import type { RawCheckpoint } from '../../source';

export type QweightLayout = 'gptq' | 'awq';

/**
 * The modules whose codes are called `qweight` and lie in this layout. Shapes tell: AWQ has an eighth as many columns of
 * codes as of scales. Where they tell nothing, the config's method does, and the tensors are an error to be named.
 */
export function qweightModules(raw: RawCheckpoint, layout: QweightLayout): string[] {
  return [...raw.tensors.keys()]
    .filter((name) => name.endsWith('.qweight') && layoutOf(raw, name) === layout)
    .map((name) => name.slice(0, -'.qweight'.length));
}

function layoutOf(raw: RawCheckpoint, name: string): QweightLayout {
  const codes = raw.tensors.get(name)!.shape;
  const scales = raw.tensors.get(name.replace(/qweight$/, 'scales'))?.shape;
  if (codes.length === 2 && scales?.length === 2 && codes[1] !== 0) {
    if (scales[1] === codes[1]) return 'gptq';
    if (scales[1] === 8 * codes[1]!) return 'awq';
  }
  return raw.quantisation?.quant_method === 'awq' ? 'awq' : 'gptq';
}

/** Those of a module's parts that are there. */
export function partsOf(raw: RawCheckpoint, modules: readonly string[], parts: readonly string[]): Set<string> {
  const names = modules.flatMap((module) => parts.map((part) => `${module}.${part}`));
  return new Set(names.filter((name) => raw.tensors.has(name)));
}
