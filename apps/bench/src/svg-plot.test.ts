import { expect, test } from 'vitest';
import { svgPlot } from './svg-plot';

const plot = { title: 'a < b & c', xLabel: 'GB', yLabel: 'tokens/s' };
const attributes = (svg: string, element: string, attribute: string) =>
  [...svg.matchAll(new RegExp(`<${element} [^>]*?${attribute}="([^"]*)"`, 'g'))].map(([, value]) => value!);
const labels = (svg: string) => [...svg.matchAll(/<text [^>]*>([^<]*)</g)].map(([, content]) => content!);

test('points lie where the axes say, on a linear axis from 0', () => {
  const svg = svgPlot({
    ...plot,
    series: [
      {
        name: 'one',
        colour: 'red',
        points: [
          [0, 0],
          [5, 5],
          [10, 10],
        ],
      },
    ],
  });
  const [x0, x1, x2] = attributes(svg, 'circle', 'cx').map(Number);
  const [y0, y1, y2] = attributes(svg, 'circle', 'cy').map(Number);
  expect(x1! - x0!).toBeCloseTo(x2! - x1!, 0);
  expect(y0! - y1!).toBeCloseTo(y1! - y2!, 0);
  expect(y2!).toBeLessThan(y0!);
  expect(labels(svg)).toEqual(expect.arrayContaining(['0', '2', '10', 'GB', 'tokens/s', 'one']));
});

test('equal ratios are equal distances on a logarithmic axis', () => {
  const svg = svgPlot({
    ...plot,
    yScale: 'log',
    series: [
      {
        name: 'one',
        colour: 'red',
        points: [
          [1, 0.05],
          [2, 0.5],
          [3, 5],
        ],
      },
    ],
  });
  const [y0, y1, y2] = attributes(svg, 'circle', 'cy').map(Number);
  expect(y0! - y1!).toBeCloseTo(y1! - y2!, 0);
  expect(labels(svg)).toEqual(expect.arrayContaining(['0.05', '0.1', '0.2', '0.5', '1', '2', '5']));
});

test('text is escaped, dashed lines have no dots, and everything lies inside the picture', () => {
  const svg = svgPlot({
    ...plot,
    series: [
      {
        name: 'ideal',
        colour: 'red',
        dashed: true,
        points: [
          [1, 3],
          [7, 123.4],
        ],
      },
    ],
  });
  expect(svg).toContain('<title>a &lt; b &amp; c</title>');
  expect(svg).not.toContain('<circle');
  expect(svg).not.toMatch(/NaN|Infinity/);
  for (const x of attributes(svg, 'line', 'x2')) expect(Number(x)).toBeLessThanOrEqual(760);
  for (const y of attributes(svg, 'line', 'y2')) expect(Number(y)).toBeGreaterThanOrEqual(0);
});

test('nothing to draw, and what has no logarithm, are refused', () => {
  expect(() => svgPlot({ ...plot, series: [] })).toThrow(RangeError);
  expect(() => svgPlot({ ...plot, yScale: 'log', series: [{ name: 'one', colour: 'red', points: [[1, 0]] }] })).toThrow(
    RangeError,
  );
});
