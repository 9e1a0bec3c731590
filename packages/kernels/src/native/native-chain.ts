import type { Lease } from '@airllm/loader';
import { DisposedError } from '@airllm/loader';
import { GraphError } from '../errors';
import type { Chain, ChainCall, ChainLink } from '../executor';
import { hostState, hostWeights } from '../host-call';
import { CallFrame } from './call-frame';
import { type NativeHost, NativeProgram } from './native-program';
import { checkRows, leaseAll, type PlacedCall } from './placed-part';

interface Link {
  readonly program: NativeProgram;
  readonly call: PlacedCall;
}

/** Parts whose addresses were written down once. They are submitted together. */
export class NativeChain implements Chain {
  readonly #host: NativeHost;
  readonly #links: readonly Link[];
  readonly #buffers: ReadonlySet<PlacedCall['workspace']>;
  readonly #frame = new CallFrame();
  /** The run before has ended: what it added to the frame may be overwritten. */
  #free: Promise<unknown> = Promise.resolve();
  #disposed = false;

  constructor(links: readonly ChainLink[], host: NativeHost) {
    this.#host = host;
    this.#links = links.map(({ program, ...call }) => {
      if (!(program instanceof NativeProgram)) throw new GraphError('chain', 'a program of another executor');
      return { program, call: { ...call, weights: hostWeights(call.weights) } };
    });
    const placed = this.#links.map(({ program, call }) => program.place(call));
    this.#buffers = new Set(placed.flatMap(({ buffers }) => [...buffers]));
    this.#frame.place(placed.map(({ native }) => native));
  }

  async run({ rows, states }: ChainCall): Promise<void> {
    if (this.#disposed) throw new DisposedError('NativeChain');
    if (states.length !== this.#links.length) {
      throw new GraphError('chain', `states of ${states.length} links given, it has ${this.#links.length}`);
    }
    for (const { program, call } of this.#links) checkRows(program.graph, call, rows.count);
    const done = this.#run({ rows, states }, this.#free);
    this.#free = done.catch(() => undefined);
    return done;
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    void this.#free.then(() => this.#frame.dispose());
  }

  async #run({ rows, states }: ChainCall, free: Promise<unknown>): Promise<void> {
    const leases: Lease[] = [];
    try {
      await this.#host.run(() => {
        leases.push(...leaseAll(this.#buffers));
        return this.#frame.write(
          this.#links.map(({ program }, l) =>
            program.pass(
              rows,
              states[l]!.map((sequences) => sequences.map(hostState)),
            ),
          ),
        );
      }, free);
    } finally {
      for (const lease of leases) lease.release();
    }
  }
}
