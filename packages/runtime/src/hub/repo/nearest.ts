/** The names most like one that was not found, the nearest first: what a slip of the fingers would have meant. */
export function nearestNames(name: string, names: readonly string[], count = 3): string[] {
  const wanted = name.toLowerCase();
  const last = wanted.split('/').at(-1) as string;
  return names
    .map((each) => {
      const other = each.toLowerCase();
      const tail = other.split('/').at(-1) as string;
      // `gemma-3-4b` of `gemma-3-4b-it`.
      const begins = last.length > 3 && (tail.startsWith(last) || last.startsWith(tail)) ? 2 : Infinity;
      return { each, distance: Math.min(editDistance(wanted, other), editDistance(last, tail) + 1, begins) };
    })
    .filter(({ distance }) => distance <= Math.max(2, Math.floor(last.length / 4)))
    .sort((a, b) => a.distance - b.distance || a.each.localeCompare(b.each))
    .slice(0, count)
    .map(({ each }) => each);
}

/** Levenshtein's distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next[j] = Math.min((row[j] as number) + 1, (next[j - 1] as number) + 1, substitution);
    }
    row = next;
  }
  return row[b.length] as number;
}
