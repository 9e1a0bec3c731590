import { createHash } from 'node:crypto';
import { inverseFrequencies, type RopeSpec } from '@airllm/kernels';
import type { Model } from '../../models/model';

/**
 * What a sequence's length does to how its keys are rotated: keys of two lengths fit each other where this is equal.
 * Always so but for dynamic and longrope scaling.
 */
export function ropeClass(model: Pick<Model, 'layers'>, length: number): string {
  const specs = new Map<string, RopeSpec>();
  for (const { graph } of model.layers) {
    for (const spec of graph.ropes) {
      const { type } = spec.scaling;
      if (type === 'dynamic' || type === 'longrope') specs.set(JSON.stringify(spec), spec);
    }
  }
  if (specs.size === 0) return 'any';
  const hash = createHash('sha256');
  for (const spec of specs.values()) hash.update(inverseFrequencies(spec, length));
  return hash.digest('hex').slice(0, 16);
}
