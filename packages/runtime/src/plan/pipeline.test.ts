import { expect, test } from 'vitest';
import { type PipelineStep, steadyPassSeconds } from './pipeline';

const options = { ringBytes: 4, latencySeconds: 0, betweenSeconds: 0, first: false };

function steps(count: number, readSeconds: number, computeSeconds: number): PipelineStep[] {
  const step = { readSeconds, ringBytes: readSeconds > 0 ? 1 : 0, onDemand: false, computeSeconds };
  return Array.from({ length: count }, () => step);
}

test('the slower of drive and processor sets the time', () => {
  expect(steadyPassSeconds(steps(20, 1, 0.25), options)).toBeCloseTo(20);
  expect(steadyPassSeconds(steps(20, 0.25, 1), options)).toBeCloseTo(20);
  expect(steadyPassSeconds(steps(20, 0, 1), options)).toBeCloseTo(20);
});

test('a first pass waits for its first segment, later ones read it ahead', () => {
  expect(steadyPassSeconds(steps(20, 0.25, 1), { ...options, first: true })).toBeCloseTo(20.25);
  expect(steadyPassSeconds(steps(20, 0.25, 1), options)).toBeCloseTo(20);
});

test('a ring that holds one segment lets the drive and the processor take turns', () => {
  expect(steadyPassSeconds(steps(20, 1, 0.5), { ...options, ringBytes: 1 })).toBeCloseTo(30);
  expect(steadyPassSeconds(steps(20, 1, 0.5), { ...options, ringBytes: 2 })).toBeCloseTo(20);
  const slow = { ...options, ringBytes: 1, latencySeconds: 0.1 };
  expect(steadyPassSeconds(steps(20, 1, 0.5), slow)).toBeCloseTo(32);
});

test('segments in memory that run in a row make the drive wait for a ring of few', () => {
  const together = [...steps(10, 1, 0), ...steps(10, 0, 1)];
  const spread = together.map((_, i) => together[(i % 2) * 10 + Math.floor(i / 2)]!);
  expect(steadyPassSeconds(spread, options)).toBeCloseTo(10);
  expect(steadyPassSeconds(together, options)).toBeCloseTo(16);
});

test('what is read on demand begins when the router has run', () => {
  const expert = { readSeconds: 1, ringBytes: 0, onDemand: true, computeSeconds: 0.25 };
  expect(steadyPassSeconds([...steps(1, 0, 2), expert], options)).toBeCloseTo(3);
  expect(steadyPassSeconds([...steps(1, 0, 2), { ...expert, computeSeconds: 4 }], options)).toBeCloseTo(6);
});

test('the time between passes is the drive’s to read ahead in', () => {
  expect(steadyPassSeconds(steps(20, 1, 0.25), { ...options, betweenSeconds: 1 })).toBeCloseTo(20);
  expect(steadyPassSeconds(steps(20, 0, 1), { ...options, betweenSeconds: 1 })).toBeCloseTo(21);
});
