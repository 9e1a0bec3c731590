const UNITS = ['bytes', 'kB', 'MB', 'GB', 'TB'];

/** Three significant digits and a decimal unit: `1.23 GB`. */
export function formatBytes(bytes: number): string {
  let unit = 0;
  let value = bytes;
  // 999.95 would be shown as 1000.
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : significant(value)} ${UNITS[unit]}`;
}

/** `15.2M`, `405B`. */
export function formatCount(count: number): string {
  for (const [unit, size] of [
    ['T', 1e12],
    ['B', 1e9],
    ['M', 1e6],
    ['K', 1e3],
  ] as const) {
    if (count >= size * 0.9995) return `${significant(count / size)}${unit}`;
  }
  return String(count);
}

/** `4.2 s`, `3 min 20 s`, `2 h 5 min`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(seconds < 1 ? 2 : 1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** With separators: `3,212,749,824`. */
export function formatExact(count: number): string {
  return count.toLocaleString('en-US');
}

export function significant(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/**
 * A value for `--memory` that still works the next time: the process itself, which counts, is not of the same size in
 * every run. Whole megabytes.
 */
export function roomyMemory(floor: number): string {
  return `${Math.ceil((floor + 8e6) / 1e6)}MB`;
}
