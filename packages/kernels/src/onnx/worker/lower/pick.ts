import { ModelBuilder } from '../model/model-builder';

/** Rows `at` `[n]` of `x` `[rows, width]`. */
export function gatherModel(width: number): Uint8Array {
  const m = new ModelBuilder();
  const x = m.input('x', 'float32', ['rows', width]);
  const at = m.input('at', 'int64', ['n']);
  m.output('y', m.node('Gather', [x, at], { axis: 0 }), 'float32', ['n', width]);
  return m.build();
}

/** Puts rows `x` `[n, width]` to places `at` `[n, 1]` of `old` `[places, width]`; run with one memory for `old` and `y`. */
export function scatterModel(width: number): Uint8Array {
  const m = new ModelBuilder();
  const old = m.input('old', 'float32', ['places', width]);
  const at = m.input('at', 'int64', ['n', 1]);
  const x = m.input('x', 'float32', ['n', width]);
  m.outputNode('y', 'ScatterND', [old, at, x], ['places', width]);
  return m.build();
}

/** Matrices side by side, each `[rows, its columns]`, and a bias `[columns]` if there is one. */
export function joinModel(columns: readonly number[], bias: boolean): Uint8Array {
  const m = new ModelBuilder();
  const width = columns.reduce((sum, each) => sum + each, 0);
  const parts = columns.map((each, i) => m.input(`x${i}`, 'float32', ['rows', each]));
  const all = parts.length === 1 ? parts[0]! : m.node('Concat', parts, { axis: 1 });
  const y = bias ? m.node('Add', [all, m.input('bias', 'float32', [width])]) : all;
  m.output('y', y, 'float32', ['rows', width]);
  return m.build();
}

/** Puts rows `rows` `[n]` of `x` to places `at` `[n, 1]` of `old`, all `width` wide; one memory for `old` and `y`. */
export function moveModel(width: number): Uint8Array {
  const m = new ModelBuilder();
  const x = m.input('x', 'float32', ['all', width]);
  const old = m.input('old', 'float32', ['places', width]);
  const picked = m.node('Gather', [x, m.input('rows', 'int64', ['n'])], { axis: 0 });
  m.outputNode('y', 'ScatterND', [old, m.input('at', 'int64', ['n', 1]), picked], ['places', width]);
  return m.build();
}
