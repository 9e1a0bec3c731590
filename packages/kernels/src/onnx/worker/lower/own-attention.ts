import type { KvStateSpec } from '../../../graph/graph';
import type { AttentionOp } from '../../../graph/ops';
import type { Provider } from '../../protocol';
import { ModelBuilder } from '../model/model-builder';
import { asKept, MASKED } from './attention';

export interface OwnAttention {
  readonly bytes: Uint8Array;
  /** Names of the outputs that are the state after the rows: bound to the memory that `keys` and `values` have. */
  readonly keys: string;
  readonly values: string;
}

/** How the rows of a sequence lie in a pass, and what they see. */
export interface OwnAttentionForm {
  readonly provider: Provider;
  /** Queries, keys and values are rows `rows` `[n]` of the pass's, and results go to its rows `places` of `old`. */
  readonly picks: boolean;
  /** Rows see keys from positions `from` `[n, 1]` on; else from 0. */
  readonly masked: boolean;
}

/**
 * Attention by onnxruntime's GroupQueryAttention, of rows at consecutive positions: it puts their keys and values into
 * the state, in place, `[1, kvHeads, slots, dim]` each with position p at slot p, and attends to what lies there.
 * `last` `[1]` is the last row's position, `length` `[1]` one more; `at` `[length]` the positions.
 */
export function ownAttentionModel(op: AttentionOp, spec: KvStateSpec, form: OwnAttentionForm): OwnAttention {
  const m = new ModelBuilder();
  const { kvHeads, keyDim: dim, dtype } = spec;
  const count = form.picks ? 'all' : 'n';
  const picked = form.picks ? m.input('rows', 'int64', ['n']) : undefined;
  const rowsOf = (name: string, heads: number) => {
    const all = m.input(name, 'float32', [count, heads * dim]);
    return picked === undefined ? all : m.node('Gather', [all, picked], { axis: 0 });
  };
  const batch = (x: string, heads: number) => m.node('Reshape', [x, m.ints([1, -1, heads * dim])]);
  const kept = (x: string) => asKept(m, x, { heads: kvHeads, dim, dtype, provider: form.provider });

  const state = [1, kvHeads, 'slots', dim];
  const [y, keys, values] = m.nodes(
    'com.microsoft.GroupQueryAttention',
    [
      batch(rowsOf('q', op.heads), op.heads),
      batch(kept(rowsOf('k', kvHeads)), kvHeads),
      batch(kept(rowsOf('v', kvHeads)), kvHeads),
      m.input('keys', 'float32', state),
      m.input('values', 'float32', state),
      m.input('last', 'int32', [1]),
      m.input('length', 'int32', [1]),
      ...['', '', ''],
      form.masked ? mask(m) : '',
      op.sinks === undefined ? '' : m.input('sinks', 'float32', [op.heads]),
    ],
    3,
    {
      num_heads: op.heads,
      kv_num_heads: kvHeads,
      scale: { float: op.scale },
      ...(op.softcap === undefined ? {} : { softcap: { float: op.softcap } }),
    },
  ) as [string, string, string];
  m.expose(keys, state);
  m.expose(values, state);

  const width = op.heads * dim;
  const rows = m.node('Reshape', [y, m.ints([-1, width])]);
  if (form.picks) {
    const old = m.input('old', 'float32', [count, width]);
    m.outputNode('y', 'ScatterND', [old, m.input('places', 'int64', ['n', 1]), rows], [count, width]);
  } else m.output('y', rows, 'float32', [count, width]);
  return { bytes: m.build(), keys, values };
}

/** Added to scores, `[1, 1, n, length]`; what lies behind a row is not its concern. */
function mask(m: ModelBuilder): string {
  const at = m.input('at', 'float32', ['length']);
  const from = m.input('from', 'float32', ['n', 1]);
  const seen = m.node('GreaterOrEqual', [at, from]);
  return m.node('Unsqueeze', [m.node('Where', [seen, m.float(0), m.float(MASKED)]), m.ints([0, 1])]);
}
