/** A line of a plot, in the units of its axes. */
export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
  /** A CSS colour. */
  readonly colour: string;
  readonly dashed?: boolean;
}

export interface Plot {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly series: readonly Series[];
  /** Speeds that differ by powers of ten are only readable on a logarithmic axis. @defaultValue linear */
  readonly yScale?: 'linear' | 'log';
}

const WIDTH = 760;
const HEIGHT = 460;
const FRAME = { left: 78, right: 24, top: 48, bottom: 58 } as const;

/** A line plot as an SVG document, readable on light and dark pages. Throws `RangeError` without points. */
export function svgPlot({ title, xLabel, yLabel, series, yScale = 'linear' }: Plot): string {
  const points = series.flatMap((each) => each.points);
  if (points.length === 0) throw new RangeError('a plot needs at least one point');
  const x = linearAxis(points.map(([value]) => value));
  const ys = points.map(([, value]) => value);
  const y = yScale === 'log' ? logAxis(ys) : linearAxis(ys);
  const inner = { width: WIDTH - FRAME.left - FRAME.right, height: HEIGHT - FRAME.top - FRAME.bottom };
  const px = (value: number) => FRAME.left + x.place(value) * inner.width;
  const py = (value: number) => FRAME.top + (1 - y.place(value)) * inner.height;
  const bottom = FRAME.top + inner.height;
  const right = FRAME.left + inner.width;
  const parts = [
    `<title>${escapeMarkup(title)}</title>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    text(WIDTH / 2, 24, title, 'middle', 'font-size="16" font-weight="600"'),
    ...x.ticks.flatMap((tick) => [
      line(px(tick), FRAME.top, px(tick), bottom, '#e5e5e5'),
      text(px(tick), bottom + 20, label(tick), 'middle'),
    ]),
    ...y.ticks.flatMap((tick) => [
      line(FRAME.left, py(tick), right, py(tick), '#e5e5e5'),
      text(FRAME.left - 8, py(tick) + 4, label(tick), 'end'),
    ]),
    line(FRAME.left, bottom, right, bottom, '#444'),
    line(FRAME.left, FRAME.top, FRAME.left, bottom, '#444'),
    text(FRAME.left + inner.width / 2, HEIGHT - 16, xLabel, 'middle'),
    text(0, 0, yLabel, 'middle', `transform="translate(18 ${round(FRAME.top + inner.height / 2)}) rotate(-90)"`),
    ...series.flatMap((each, i) => [
      ...curve(each, px, py),
      line(
        FRAME.left + 16,
        FRAME.top + 16 + i * 20,
        FRAME.left + 44,
        FRAME.top + 16 + i * 20,
        each.colour,
        each.dashed,
      ),
      text(FRAME.left + 52, FRAME.top + 20 + i * 20, each.name, 'start'),
    ]),
  ];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="system-ui, sans-serif" font-size="13" fill="#222">\n${parts.join('\n')}\n</svg>\n`;
}

interface Axis {
  readonly ticks: readonly number[];
  /** Share of the axis at which a value lies. */
  place(value: number): number;
}

/** From 0 (or the least value below it) to the first tick that holds all. */
function linearAxis(values: readonly number[]): Axis {
  const low = Math.min(0, ...values);
  const high = Math.max(...values, low + Number.MIN_VALUE);
  const step = niceStep((high - low) / 6);
  const first = Math.floor(low / step);
  const last = Math.max(first + 1, Math.ceil(high / step - 1e-9));
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
  return { ticks, place: (value) => (value / step - first) / (last - first) };
}

/** Ticks at 1, 2 and 5 times powers of ten; all values must be above 0. */
function logAxis(values: readonly number[]): Axis {
  if (values.some((value) => !(value > 0))) throw new RangeError('a logarithmic axis needs values above 0');
  const all = Array.from({ length: 25 }, (_, i) => i - 12).flatMap((power) => [1, 2, 5].map((m) => m * 10 ** power));
  const from = all.findLastIndex((tick) => tick <= Math.min(...values) * (1 + 1e-9));
  const to = all.findIndex((tick) => tick >= Math.max(...values) * (1 - 1e-9));
  const ticks = all.slice(Math.max(0, from), Math.max(to, from + 1) + 1);
  const low = Math.log(ticks[0]!);
  const span = Math.log(ticks.at(-1)!) - low;
  return { ticks, place: (value) => (Math.log(value) - low) / span };
}

/** The least of 1, 2, 2.5 and 5 times a power of ten that is not below a step. */
function niceStep(step: number): number {
  const power = 10 ** Math.floor(Math.log10(step));
  return ([1, 2, 2.5, 5].find((factor) => factor * power >= step * (1 - 1e-9)) ?? 10) * power;
}

function curve(series: Series, px: (x: number) => number, py: (y: number) => number): string[] {
  const path = series.points.map(([x, y]) => `${round(px(x))},${round(py(y))}`).join(' ');
  const dash = series.dashed ? ' stroke-dasharray="6 4"' : '';
  const drawn = [`<polyline points="${path}" fill="none" stroke="${series.colour}" stroke-width="2"${dash}/>`];
  if (series.dashed) return drawn;
  const dots = series.points.map(
    ([x, y]) => `<circle cx="${round(px(x))}" cy="${round(py(y))}" r="3.5" fill="${series.colour}"/>`,
  );
  return [...drawn, ...dots];
}

function line(x1: number, y1: number, x2: number, y2: number, colour: string, dashed = false): string {
  const dash = dashed ? ' stroke-dasharray="6 4"' : '';
  const [a, b, c, d] = [x1, y1, x2, y2].map(round);
  return `<line x1="${a}" y1="${b}" x2="${c}" y2="${d}" stroke="${colour}"${dash}/>`;
}

function text(x: number, y: number, content: string, anchor: string, more = ''): string {
  return `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}"${more ? ` ${more}` : ''}>${escapeMarkup(content)}</text>`;
}

function escapeMarkup(content: string): string {
  return content.replace(/[&<>]/g, (found) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[found]!);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

/** Without the tails of binary fractions. */
function label(value: number): string {
  return String(Number(value.toPrecision(6)));
}
