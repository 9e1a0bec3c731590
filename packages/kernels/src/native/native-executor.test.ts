import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { DisposedError, HostBuffer, OptionError } from '@airllm/loader';
import { afterEach, describe, expect, it } from 'vitest';
import { PreparedCase, type Recorded } from '../conformance/run-case';
import { ExecutorUnavailableError, GraphError } from '../errors';
import type { RunCall } from '../executor';
import type { RopeSpec } from '../rope/spec';
import { BlockPool } from '../state/block-pool';
import { createState } from '../state/create-state';
import { prompt } from '../testing/rows';
import { NativeError } from './errors';
import { instructionSets, openLibrary } from './library';
import { NativeExecutor } from './native-executor';
import { findLibrary, libraryFile } from './platform';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function open(threads = 2): NativeExecutor {
  const executor = NativeExecutor.open({ threads });
  cleanups.push(() => executor.dispose());
  return executor;
}

function prepare(recorded: Recorded): PreparedCase {
  const prepared = new PreparedCase(recorded, 'F32');
  cleanups.push(() => prepared.dispose());
  return prepared;
}

function allocate(byteLength: number): HostBuffer {
  const buffer = HostBuffer.allocate(byteLength);
  cleanups.push(() => buffer.dispose());
  return buffer;
}

const linear: Recorded = {
  rows: prompt(5),
  record: (b) => b.output('y', b.linear(b.input('x', 64), 'w', 32)),
};

const ROPE: RopeSpec = { dim: 64, theta: 10_000, scaling: { type: 'default' } };

const rope: Recorded = {
  rows: prompt(5),
  record: (b) => b.output('y', b.rope(b.input('x', 64), ROPE, { headDim: 64 })),
};

const attention: Recorded = {
  rows: prompt(5),
  record(b) {
    const [q, k, v] = [b.input('q', 8), b.input('k', 8), b.input('v', 8)];
    b.output('y', b.attention(q, k, v, { heads: 1, kvHeads: 1, headDim: 8 }));
  },
};

/** A call of the whole graph with all its buffers but no weights. */
function bareCall(executor: NativeExecutor, { block }: PreparedCase, recorded: Recorded) {
  const program = executor.compile(block.graph);
  const { graph } = block;
  const maxRows = recorded.rows.count;
  const carry = new Map(
    [...graph.inputs, ...graph.outputs].map(([name, id]) => [name, allocate(4 * maxRows * graph.values[id]!.width)]),
  );
  const call: RunCall = {
    part: { from: 0, to: graph.ops.length },
    rows: recorded.rows,
    weights: graph.weights.map(() => undefined),
    states: [],
    carry,
    workspace: allocate(program.workspaceBytes(maxRows)),
    maxRows,
  };
  return { program, call };
}

describe('opening', () => {
  it('chooses the best instruction set and as many threads as asked for', () => {
    const { info } = open(3);
    expect(info).toMatchObject({ name: 'native', threads: 3 });
    expect(['amxbf16', 'avx512bf16', 'avx512', 'avx2', 'neon', 'scalar']).toContain(info.isa);
  });

  it('takes auto as bfloat16 where the instruction set has it', () => {
    for (const isa of instructionSets(openLibrary(findLibrary()))) {
      const executor = NativeExecutor.open({ threads: 1, isa, computeDtype: 'auto' });
      cleanups.push(() => executor.dispose());
      expect(executor.info.computeDtype).toBe(isa.endsWith('bf16') ? 'bfloat16' : 'float32');
    }
  });

  it('says which package is missing', () => {
    expect(() => findLibrary('plan9-mips')).toThrow(ExecutorUnavailableError);
    expect(() => findLibrary('plan9-mips')).toThrow('@airllm/kernels-plan9-mips');
  });

  it('refuses a library that is none, or of another version', () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'airllm lib#'));
    cleanups.push(() => rmSync(folder, { recursive: true }));
    mkdirSync(path.join(folder, 'lib'));
    const library = path.join(folder, 'lib', libraryFile(process.platform));
    expect(() => NativeExecutor.open({ library })).toThrow(ExecutorUnavailableError);
    writeFileSync(library, 'not a library');
    expect(() => NativeExecutor.open({ library })).toThrow(ExecutorUnavailableError);
  });

  it('refuses an instruction set that is not there, naming those that are', () => {
    expect(() => NativeExecutor.open({ isa: 'altivec' })).toThrow(ExecutorUnavailableError);
    expect(() => NativeExecutor.open({ isa: 'altivec' })).toThrow('scalar');
  });

  it('never takes by itself what is there for tests alone', () => {
    expect(instructionSets(openLibrary(findLibrary()))).not.toContain('amx-emulated');
  });

  it('refuses impossible numbers of threads', () => {
    for (const threads of [0, -1, 1.5, 100_000]) expect(() => NativeExecutor.open({ threads })).toThrow(OptionError);
  });
});

describe('running', () => {
  it('compiles equal graphs once', () => {
    const executor = open();
    const [a, b] = [prepare(linear), prepare(linear)];
    expect(executor.compile(a.block.graph)).toBe(executor.compile(b.block.graph));
  });

  it('runs calls made at once one after the other', async () => {
    const executor = open();
    const prepared = prepare(linear);
    const alone = await prepared.run(executor, { cut: 'whole', chunk: 5 });
    const together = await Promise.all([1, 2, 5].map((chunk) => prepared.run(executor, { cut: 'slices', chunk })));
    for (const found of together) expect(found).toEqual(alone);
  });

  it('keeps the angles of each of the passes that run at once', async () => {
    const executor = open();
    const prepared = prepare(rope);
    const alone = await prepared.run(executor, { cut: 'whole', chunk: 5 });
    const together = await Promise.all([1, 2, 3, 5].map((chunk) => prepared.run(executor, { cut: 'whole', chunk })));
    for (const found of together) expect(found).toEqual(alone);
  });

  it('refuses a weight that was not given', async () => {
    const { program, call } = bareCall(open(), prepare(linear), linear);
    const error = await program.run(call).catch((e: unknown) => e);
    expect(NativeError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({ call: 'run', status: 6 });
  });

  it('refuses positions without memory, and works on', async () => {
    const executor = open();
    const prepared = prepare(attention);
    const { program, call } = bareCall(executor, prepared, attention);
    const pool = new BlockPool();
    cleanups.push(() => pool.dispose());
    const state = createState(pool, { kind: 'kv', kvHeads: 1, keyDim: 8, valueDim: 8, dtype: 'float32' });
    const error = await program.run({ ...call, states: [[state]] }).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'ERR_NATIVE', status: 7 });
    state.reserve(5);
    await program.run({ ...call, states: [[state]] });
  });

  it('refuses buffers that are too small', async () => {
    const { program, call } = bareCall(open(), prepare(linear), linear);
    const small = allocate(8);
    await expect(program.run({ ...call, workspace: small, maxRows: 1000 })).rejects.toSatisfy(GraphError.isInstance);
    await expect(program.run({ ...call, carry: new Map([['x', small]]) })).rejects.toSatisfy(GraphError.isInstance);
    await expect(program.run({ ...call, maxRows: 4 })).rejects.toSatisfy(GraphError.isInstance);
    await expect(program.run({ ...call, weights: [] })).rejects.toSatisfy(GraphError.isInstance);
  });

  it('gives leases back also where a call fails', async () => {
    const { program, call } = bareCall(open(), prepare(linear), linear);
    const buffer = HostBuffer.allocate(4 * 5 * 64);
    const failing = { ...call, carry: new Map([...call.carry, ['x', buffer]]) };
    for (let i = 0; i < 2; i++) await expect(program.run(failing)).rejects.toSatisfy(NativeError.isInstance);
    const before = HostBuffer.total();
    buffer.dispose();
    expect(HostBuffer.total()).toBeLessThan(before);
  });
});

/** Of this process's threads: whether they sleep, and how often and for how long they have run. */
function threadActivity(): Map<string, string> {
  const threads = readdirSync('/proc/self/task').map((id) => {
    const fields = readFileSync(`/proc/self/task/${id}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ');
    const [state, user, system] = [fields[0], fields[11], fields[12]];
    const switches = readFileSync(`/proc/self/task/${id}/status`, 'utf8').match(/ctxt_switches:\s+\d+/g);
    return [id, [state, user, system, switches].join(' ')] as const;
  });
  return new Map(threads);
}

it.skipIf(process.platform !== 'linux')('burns no CPU between runs', async () => {
  const others = threadActivity();
  const executor = open(4);
  await prepare(linear).run(executor, { cut: 'whole', chunk: 5 });
  const ours = () => [...threadActivity()].filter(([id]) => !others.has(id));
  expect(ours().length).toBeGreaterThanOrEqual(3);
  let before = ours();
  // On a busy machine the last of them may come to rest late; threads that spin never do.
  await expect
    .poll(
      () => {
        const earlier = before;
        before = ours();
        return before.every(([, activity]) => activity.startsWith('S')) && String(before) === String(earlier);
      },
      { interval: 200 },
    )
    .toBe(true);
});

describe('disposing', () => {
  it('waits for the running part, is idempotent, and ends all use', async () => {
    const executor = NativeExecutor.open({ threads: 2 });
    const { program, call } = bareCall(executor, prepare(rope), rope);
    let ran = false;
    const running = program.run(call).then(() => {
      ran = true;
    });
    await executor.dispose();
    expect(ran).toBe(true);
    await running;
    await executor.dispose();
    expect(() => executor.compile(program.graph)).toThrow(DisposedError);
  });

  it('refuses to run a program afterwards', async () => {
    const executor = NativeExecutor.open({ threads: 2 });
    const { program, call } = bareCall(executor, prepare(linear), linear);
    await executor.dispose();
    await expect(program.run(call)).rejects.toSatisfy(DisposedError.isInstance);
  });
});
