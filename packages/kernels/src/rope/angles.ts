import { remember } from '../remember';
import type { PassRows } from '../rows';
import { inverseFrequencies } from './frequencies';
import type { RopeSpec } from './spec';

/** Tables by rows, then by spec: every layer of a pass asks for the same ones. */
const tables = new WeakMap<PassRows, Map<string, Float32Array>>();
const specKeys = new WeakMap<RopeSpec, string>();

/**
 * The angles of a pass: float32 `[rows, dim]`, in each row the cosines of its dim / 2 angles, then their sines, both
 * times the scaling's attention factor. Rounded to float32 where torch rounds. Remembered per `rows` object, which
 * therefore must not change once it has been used; the table is shared and must not be written to.
 */
export function ropeAngles(spec: RopeSpec, rows: PassRows): Float32Array {
  const key = remember(specKeys, spec, () => JSON.stringify(spec));
  const bySpec = remember(tables, rows, () => new Map<string, Float32Array>());
  return remember(bySpec, key, () => computeAngles(spec, rows));
}

function computeAngles(spec: RopeSpec, rows: PassRows): Float32Array {
  const half = spec.dim / 2;
  const attentionFactor = Math.fround('attentionFactor' in spec.scaling ? spec.scaling.attentionFactor : 1);
  const table = new Float32Array(rows.count * spec.dim);
  let frequencies: Float32Array | undefined;
  let length = -1;
  for (let r = 0; r < rows.count; r++) {
    if (frequencies === undefined || rows.ropeLength[r] !== length) {
      length = rows.ropeLength[r]!;
      frequencies = inverseFrequencies(spec, length);
    }
    const position = Math.fround(rows.position[r]!);
    const at = r * spec.dim;
    for (let i = 0; i < half; i++) {
      const angle = Math.fround(position * frequencies[i]!);
      table[at + i] = Math.fround(Math.cos(angle)) * attentionFactor;
      table[at + half + i] = Math.fround(Math.sin(angle)) * attentionFactor;
    }
  }
  return table;
}
