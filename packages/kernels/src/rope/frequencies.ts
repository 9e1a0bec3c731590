import type { RopeScaling, RopeSpec } from './spec';

const f32 = Math.fround;

type Scaled<T extends RopeScaling['type']> = Extract<RopeScaling, { type: T }>;

/**
 * Inverse frequencies of a row whose sequence has `ropeLength` positions: float32 `[dim / 2]`, angle = position · this.
 * Each step is rounded to float32 where transformers' `modeling_rope_utils.py` works on float32 tensors, and kept in
 * float64 where it works on Python numbers.
 */
export function inverseFrequencies(spec: RopeSpec, ropeLength: number): Float32Array {
  const { dim, theta, scaling } = spec;
  switch (scaling.type) {
    case 'default':
      return inverse(powers(theta, dim));
    case 'linear':
      return inverse(powers(theta, dim)).map((value) => value / f32(scaling.factor));
    case 'dynamic':
      return inverse(powers(dynamicBase(theta, dim, scaling, ropeLength), dim));
    case 'yarn':
      return yarn(theta, dim, scaling);
    case 'llama3':
      return llama3(inverse(powers(theta, dim)), scaling);
    case 'longrope': {
      const factors = ropeLength > scaling.originalMaxPositions ? scaling.longFactor : scaling.shortFactor;
      return inverse(powers(theta, dim).map((power, i) => power * f32(factors[i]!)));
    }
  }
}

/** base^(2i / dim) */
function powers(base: number, dim: number): Float32Array {
  return Float32Array.from({ length: dim / 2 }, (_, i) => f32(base) ** f32((2 * i) / dim));
}

function inverse(values: Float32Array): Float32Array {
  return values.map((value) => 1 / value);
}

/** The base changes only past `maxPositions`; there the length is a tensor, so every step is float32. */
function dynamicBase(theta: number, dim: number, scaling: Scaled<'dynamic'>, length: number): number {
  const { factor, maxPositions } = scaling;
  if (length <= maxPositions) return theta;
  const grown = f32(f32(f32(f32(factor) * f32(length)) / maxPositions) - f32(factor - 1));
  return f32(f32(theta) * f32(grown ** f32(dim / (dim - 2))));
}

/**
 * YaRN (arXiv 2309.00071): frequencies that turn often within the original context stay (extrapolation), slow ones are
 * divided by the factor (interpolation), with a linear ramp between the two.
 */
function yarn(theta: number, dim: number, scaling: Scaled<'yarn'>): Float32Array {
  const { factor, originalMaxPositions, betaFast, betaSlow, truncate } = scaling;
  // The (fractional) index of the frequency that makes so many rotations over the original context.
  const indexOf = (rotations: number) =>
    (dim * Math.log(originalMaxPositions / (rotations * 2 * Math.PI))) / (2 * Math.log(theta));
  let low = indexOf(betaFast);
  let high = indexOf(betaSlow);
  if (truncate) {
    low = Math.floor(low);
    high = Math.ceil(high);
  }
  low = Math.max(low, 0);
  high = Math.min(high, dim - 1);
  if (low === high) high += 0.001;
  return powers(theta, dim).map((power, i) => {
    const extrapolated = f32(1 / power);
    const interpolated = f32(1 / f32(f32(factor) * power));
    const ramp = Math.min(Math.max(f32(f32(i - f32(low)) / f32(high - low)), 0), 1);
    const keep = f32(1 - ramp);
    return f32(f32(interpolated * f32(1 - keep)) + f32(extrapolated * keep));
  });
}

/** Llama 3.1: short wavelengths stay, long ones are divided by the factor, those between are blended. */
function llama3(frequencies: Float32Array, scaling: Scaled<'llama3'>): Float32Array {
  const { factor, lowFreqFactor, highFreqFactor, originalMaxPositions } = scaling;
  const longest = f32(originalMaxPositions / lowFreqFactor);
  const shortest = f32(originalMaxPositions / highFreqFactor);
  return frequencies.map((frequency) => {
    const wavelength = f32(f32(2 * Math.PI) / frequency);
    if (wavelength > longest) return frequency / f32(factor);
    if (wavelength < shortest) return frequency;
    const smooth = f32(
      f32(f32(f32(originalMaxPositions) / wavelength) - f32(lowFreqFactor)) / f32(highFreqFactor - lowFreqFactor),
    );
    return f32(f32(f32(f32(1 - smooth) * frequency) / f32(factor)) + f32(smooth * frequency));
  });
}
