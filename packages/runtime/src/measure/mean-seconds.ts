/**
 * Seconds of a run, by all that fit a time after one that warms up. The mean: a pass is a sum of such runs, and pays for
 * what else goes on on the machine.
 */
export async function meanSeconds(
  run: () => Promise<void>,
  ms: number,
  signal: AbortSignal | undefined,
  most = Number.POSITIVE_INFINITY,
): Promise<number> {
  await run();
  const begin = performance.now();
  let runs = 0;
  do {
    signal?.throwIfAborted();
    await run();
    runs++;
  } while (runs < most && performance.now() - begin < ms);
  return (performance.now() - begin) / 1000 / runs;
}

/** What a run took less what every run costs, which is counted apart; as measured where noise makes that most of it. */
export function without(seconds: number, step: number): number {
  return step < seconds / 2 ? seconds - step : seconds;
}
