const STEPS = [
  ['year', 365.25 * 86_400],
  ['month', 30.4 * 86_400],
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
] as const;

/** `3 days ago`. */
export function formatAge(then: Date, now = new Date()): string {
  const seconds = (now.getTime() - then.getTime()) / 1000;
  for (const [name, length] of STEPS) {
    const count = Math.floor(seconds / length);
    if (count >= 1) return `${count} ${name}${count === 1 ? '' : 's'} ago`;
  }
  return 'just now';
}
