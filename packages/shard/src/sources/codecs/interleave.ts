import type { Codec, OutputName } from '../source';

/** How the codec `interleave` reads `<output>0` and `<output>1`: bytes of what they give by turns. */
export interface InterleaveParams {
  /** Of a row of a matrix (of its component), or of an element of a vector. */
  readonly units: Readonly<Partial<Record<OutputName, number>>>;
}

/** Rows of two matrices by turns, or elements of two vectors: gates and ups of experts that are computed as one. */
export const interleave: Codec = {
  name: 'interleave',

  rowStep: () => 2,

  convertRows({ params, shape, from, read, out }) {
    const { units } = params as InterleaveParams;
    for (const [name, bytes] of Object.entries(out) as [OutputName, Uint8Array][]) {
      const unit = units[name]!;
      // A vector is one row.
      const first = shape.length === 1 ? 0 : (from / 2) * unit;
      for (const side of [0, 1]) {
        const own = read(`${name}${side}`, first, bytes.length / 2);
        for (let at = 0; at < own.length; at += unit) bytes.set(own.subarray(at, at + unit), 2 * at + side * unit);
      }
    }
  },
};
