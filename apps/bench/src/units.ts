/** Bytes as GB, MB where there is less than one. */
export function bytes(value: number): string {
  return value < 1e9 ? `${(value / 1e6).toFixed(0)} MB` : `${(value / 1e9).toFixed(2)} GB`;
}

/** Bytes per second. */
export function rate(value: number): string {
  return `${(value / 1e9).toFixed(value < 10e9 ? 3 : 1)} GB/s`;
}

/** A share of 1. */
export function percent(value: number, digits = 0): string {
  return `${(value * 100).toFixed(digits)} %`;
}

/** One row of a Markdown table. */
export function row(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

/** The first two rows of a Markdown table. */
export function head(titles: readonly string[]): string {
  return `${row(titles)}\n|${'---|'.repeat(titles.length)}`;
}
