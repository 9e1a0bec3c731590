import { PackedTensor } from '@airllm/kernels';
import { packedOnMeta } from '../converted';
import { ConstantPool } from '../formats/shared/constants';
import { quantisationIn } from '../quantisation-config';
import type { WeightHint } from './expectation';
import { EXPECTED_FORMATS } from './registry';

/** What is known of a model beside its configuration. */
export interface QuantisedOnMetaOptions {
  /** Names of the stored tensors, from an index; they tell what is quantised. @defaultValue told by the configuration */
  readonly names?: Iterable<string>;
}

/** Their count is what matters. */
const NO_NUMBERS = { bias: 0, table4: [], table8: [] };

/** Prefixes of the base model, which files of the base model alone lack. */
const BASE_PREFIX = /^(?:model|transformer)\./;
const WEIGHT = '.weight';

/**
 * What the matrices of a quantised model will be, for plans and sizes of a model whose files are elsewhere: told by its
 * config.json, the names in its index if there is one, and the shapes that its architecture wants. Undefined for tensors
 * that stay dense; for all of them where nothing tells how they were quantised.
 */
export function quantisedOnMeta(
  config: Readonly<Record<string, unknown>>,
  options: QuantisedOnMetaOptions = {},
): (name: string, shape: readonly number[]) => PackedTensor | undefined {
  const quantisation = quantisationIn(config);
  const format = quantisation && EXPECTED_FORMATS.find((known) => known.matches(quantisation));
  if (!quantisation || !format) return () => undefined;
  const expect = format.expectation(quantisation, { dtype: denseDType(config) });
  const stored = options.names && new Set(options.names);
  // An index without tensors is none.
  const listed = stored !== undefined && stored.size > 0;
  const has = (name: string) => listed && (stored.has(name) || stored.has(name.replace(BASE_PREFIX, '')));
  const pool = new ConstantPool();
  return (name, shape) => {
    const [rows, columns] = shape;
    if (shape.length !== 2 || !name.endsWith(WEIGHT)) return undefined;
    const module = name.slice(0, -WEIGHT.length);
    const hint: WeightHint = { name, module, rows: rows!, columns: columns!, listed, has };
    const expected = expect(hint);
    if (expected === undefined) return undefined;
    const { format, ownConstants, known } = expected;
    const onMeta = packedOnMeta(name, shape, format);
    const { constants } = onMeta.components;
    if (known === undefined && (constants === undefined || ownConstants)) return onMeta;
    const shared = constants && !ownConstants && pool.tensor(constants.name, format, NO_NUMBERS);
    const components = { ...onMeta.components, ...(shared && { constants: shared }), ...known };
    return new PackedTensor({ name, shape, format, components });
  };
}

/** Where nothing is said: bfloat16, as nearly all are. */
function denseDType({ dtype, torch_dtype }: Readonly<Record<string, unknown>>): 'F32' | 'F16' | 'BF16' {
  const name = dtype ?? torch_dtype;
  const named = (wanted: string) => name === wanted || name === `torch.${wanted}`;
  return named('float32') ? 'F32' : named('float16') ? 'F16' : 'BF16';
}
