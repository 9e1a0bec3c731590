import { afterAll, beforeAll, expect, it } from 'vitest';
import { PreparedCase } from '../conformance/run-case';
import type { ActivationName } from '../graph/ops';
import { prompt } from '../testing/rows';
import { instructionSets, openLibrary } from './library';
import { NativeExecutor } from './native-executor';
import { findLibrary } from './platform';

/** From −100 to 100, dense near 0, with subnormal and special values. */
const X = Float32Array.from([
  ...Array.from({ length: 4000 }, (_, i) => (i - 2000) / 20),
  ...Array.from({ length: 4000 }, (_, i) => (i - 2000) / 1000),
  ...Array.from({ length: 90 }, (_, i) => 10 ** (i / 2 - 44)),
  ...[0, 88.7, -88.7, 89, -89, 104, -104, 1e30, -1e30],
]);

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
/** Series near 0 and continued fraction away from it: both to double precision. */
function erf(x: number): number {
  const size = Math.abs(x);
  if (size < 2.5) {
    let term = x;
    let sum = x;
    for (let n = 1; n < 80; n++) {
      term *= -(x * x) / n;
      sum += term / (2 * n + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let n = 80; n > 0; n--) fraction = n / 2 / (size + fraction);
  return Math.sign(x) * (1 - Math.exp(-x * x) / (Math.sqrt(Math.PI) * (size + fraction)));
}

/** Error allowed: relative to the result, and where a formula cancels, absolute in units of x. */
const FUNCTIONS: readonly [ActivationName, (x: number) => number, relative: number, ofX: number][] = [
  ['sigmoid', sigmoid, 3e-7, 0],
  ['tanh', Math.tanh, 3e-7, 0],
  ['silu', (x) => x * sigmoid(x), 3e-7, 0],
  ['gelu', (x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)), 6e-7, 3e-7],
  ['gelu_tanh', (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))), 6e-7, 3e-7],
];

for (const isa of instructionSets(openLibrary(findLibrary()))) {
  let executor: NativeExecutor;
  beforeAll(() => {
    executor = NativeExecutor.open({ threads: 1, isa });
  });
  afterAll(() => executor.dispose());

  for (const [kind, exact, relative, ofX] of FUNCTIONS) {
    it(`${isa}: ${kind} from −10³⁰ to 10³⁰`, async () => {
      const prepared = new PreparedCase(
        {
          rows: prompt(1),
          inputs: { x: [[...X]] },
          record: (b) => b.output('y', b.activation(b.input('x', X.length), kind)),
        },
        'F32',
      );
      const found = await prepared.run(executor, { cut: 'whole', chunk: 1 });
      prepared.dispose();
      X.forEach((x, i) => {
        const expected = exact(x);
        // Below the smallest normal number results may be 0.
        const allowed = relative * Math.abs(expected) + ofX * Math.abs(x) + 1.2e-38 * Math.max(1, Math.abs(x));
        expect(Math.abs(found[i]! - expected), `${kind}(${x}) = ${found[i]}, expected ${expected}`).toBeLessThanOrEqual(
          allowed,
        );
      });
    });
  }
}
