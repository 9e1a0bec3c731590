import { float4Format } from '../formats/shared/float4';
import type { ExpectedFormat, ExpectedMatrix, ModelHint, QuantisationConfig } from './expectation';

/** One expert, as transformers names it. */
const EXPERT = /^(.*?)(\.experts)?\.\d+\.(\w+)$/;
/** Mixtral's names, which MLX has none of its own for. */
const PROJECTIONS: Readonly<Record<string, string>> = { w1: 'gate_proj', w2: 'down_proj', w3: 'up_proj' };

/** MLX: everything linear, and the embedding; a module may have settings of its own, and experts are stacked. */
export const expectedMlx: ExpectedFormat = {
  matches: ({ quant_method, group_size, bits }) =>
    quant_method === undefined && typeof group_size === 'number' && typeof bits === 'number',

  expectation(quantisation, model) {
    return ({ module, columns, listed, has }) => {
      if (columns % 2 !== 0) return undefined;
      const names = [module, ...stacksOf(module)];
      const stored = listed ? names.find((name) => has(`${name}.scales`)) : module;
      if (stored === undefined) return undefined;
      const own = names.map((name) => quantisation[name]).find((entry) => entry !== undefined);
      if (own === false) return undefined;
      return matrixOf({ ...quantisation, ...(typeof own === 'object' ? own : {}) }, model);
    };
  },
};

/** Names of the stack that an expert is in. */
function stacksOf(module: string): readonly string[] {
  const [, parent, experts, name] = EXPERT.exec(module) ?? [];
  if (experts === undefined) return [];
  const projection = PROJECTIONS[name!] ?? name;
  return [`${parent}.switch_mlp`, `${parent}.experts`, `${parent}.experts.switch_glu`].map((s) => `${s}.${projection}`);
}

function matrixOf(settings: QuantisationConfig, { dtype }: ModelHint): ExpectedMatrix | undefined {
  const { mode, bits, group_size: group } = settings;
  if (mode === 'mxfp4') return { format: float4Format(32) };
  if (mode === 'nvfp4') return { format: float4Format(16) };
  if (mode === 'mxfp8') return { format: { code: 'e4m3', block: { rows: 1, columns: 32 }, scale: { dtype: 'U8' } } };
  if (typeof bits !== 'number' || bits < 2 || bits > 8 || !Number.isSafeInteger(group) || (group as number) <= 0) {
    return undefined;
  }
  const block = { rows: 1, columns: group as number };
  const code = bits > 4 ? ({ code: 'u8' } as const) : ({ code: 'u4', nibbles: 'low' } as const);
  return { format: { ...code, block, scale: { dtype }, offset: { dtype } } };
}
