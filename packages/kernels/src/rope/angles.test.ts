import { describe, expect, it } from 'vitest';
import { passRows } from '../testing/rows';
import { ropeAngles } from './angles';
import type { RopeSpec } from './spec';

const spec: RopeSpec = { dim: 8, theta: 10000, scaling: { type: 'default' } };

describe('ropeAngles', () => {
  it('is cosines, then sines, of the float32 angles of each row', () => {
    const table = ropeAngles(spec, passRows([{ position: 0 }, { position: 1 }, { position: 131071 }]));
    // numpy, float32
    const expected = [
      [1, 1, 1, 1, 0, 0, 0, 0],
      [0.5403023, 0.9950042, 0.99995, 0.9999995, 0.841471, 0.09983342, 0.009999833, 0.0009999999],
      [-0.8179835, 0.930128, -0.7864078, 0.6403117, -0.5752417, 0.36723554, -0.61770767, -0.76811516],
    ].flat();
    expect(table.length).toBe(expected.length);
    expected.forEach((value, i) => {
      expect(table[i], `element ${i}`).toBeCloseTo(value, 6);
    });
  });

  it('multiplies by the attention factor', () => {
    const factors = [1, 1, 1, 1];
    const scaling: RopeSpec['scaling'] = {
      type: 'longrope',
      shortFactor: factors,
      longFactor: factors,
      originalMaxPositions: 4096,
      attentionFactor: 1.25,
    };
    const table = ropeAngles({ ...spec, scaling }, passRows([{ position: 1000 }]));
    const expected = [0.70297384, 1.0778986, -1.0488393, 0.67537785, 1.0335995, -0.6329571, -0.68002635, 1.0518388];
    expected.forEach((value, i) => {
      expect(table[i], `element ${i}`).toBeCloseTo(value, 6);
    });
  });

  it("goes by the row's own rope length, whatever rides along", () => {
    const dynamic: RopeSpec = { ...spec, scaling: { type: 'dynamic', factor: 2, maxPositions: 16 } };
    const rows = [
      { position: 10, ropeLength: 11 },
      { position: 10, ropeLength: 40 },
      { position: 10, ropeLength: 12 },
      { position: 10, ropeLength: 17 },
    ];
    const together = ropeAngles(dynamic, passRows(rows));
    rows.forEach((row, r) => {
      expect(together.slice(r * 8, r * 8 + 8)).toEqual(ropeAngles(dynamic, passRows([row])));
    });
    expect(together.slice(0, 8)).toEqual(together.slice(16, 24));
    expect(together.slice(0, 8)).not.toEqual(together.slice(8, 16));
    expect(together.slice(0, 8)).not.toEqual(together.slice(24, 32));
  });

  it('is computed once per pass and spec', () => {
    const rows = passRows([{ position: 3 }]);
    expect(ropeAngles(spec, rows)).toBe(ropeAngles({ ...spec }, rows));
    expect(ropeAngles(spec, rows)).not.toBe(ropeAngles({ ...spec, theta: 500 }, rows));
    expect(ropeAngles(spec, rows)).not.toBe(ropeAngles(spec, passRows([{ position: 3 }])));
  });
});
