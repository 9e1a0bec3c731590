import type { Part } from '@airllm/kernels';
import type { ExpertSegment, Segment } from '../plan/types';
import type { ExpertCache } from './expert-cache';
import type { PlacedWeight } from './read-weights';

interface Job {
  readonly key: string;
  readonly segment: ExpertSegment;
}

/**
 * Runs the experts a router chose. The ones already in memory go first, so that reading the others overlaps with them;
 * the order is free because every expert writes to slots of its own.
 */
export async function runExperts(
  cache: ExpertCache,
  segment: Segment,
  routes: Int32Array,
  run: (part: Part, weights: readonly PlacedWeight[]) => Promise<unknown>,
): Promise<void> {
  const chosen = [...new Set(routes)].sort((a, b) => a - b);
  const jobs = chosen.map((e): Job[] =>
    segment.experts![e]!.map((part, i) => ({ key: `${segment.index}/${e}/${i}`, segment: part })),
  );
  const held = (expert: readonly Job[]) => expert.every((job) => cache.has(job.key));
  const ordered = [...jobs.filter(held), ...jobs.filter((expert) => !held(expert))].flat();
  // Asked for in the order they run: a slot is never waited for by somebody who runs before its holder.
  const loads = ordered.map(({ key, segment: part }) => cache.acquire(key, part));
  for (const load of loads) load.catch(() => {});
  let done = 0;
  try {
    for (const [i, job] of ordered.entries()) {
      const weights = await loads[i]!;
      await run(job.segment.part, weights);
      cache.release(job.key);
      done++;
    }
  } finally {
    // After a failure the others' slots go back as their reads end.
    for (const [i, job] of ordered.entries()) {
      if (i >= done) {
        loads[i]!.then(
          () => cache.release(job.key),
          () => {},
        );
      }
    }
  }
}
