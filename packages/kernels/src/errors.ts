import { AirllmError, isMarked, mark } from '@airllm/loader';

/** A graph, or a part or buffer it is run with, does not fit together. */
export class GraphError extends AirllmError {
  /** Name of the op at fault, e.g. `linear`, or of the step: `input`, `part`, `carry`… */
  readonly op: string;
  readonly reason: string;

  constructor(op: string, reason: string) {
    super('ERR_GRAPH', `${op}: ${reason}`);
    mark(this, 'GraphError');
    this.op = op;
    this.reason = reason;
  }

  static override isInstance(error: unknown): error is GraphError {
    return isMarked(error, 'GraphError');
  }
}

/** The executor that was asked for cannot run here. */
export class ExecutorUnavailableError extends AirllmError {
  readonly executor: string;
  readonly reason: string;

  constructor(facts: { executor: string; reason: string; cause?: unknown }) {
    super('ERR_EXECUTOR_UNAVAILABLE', `executor ${facts.executor}: ${facts.reason}`, { cause: facts.cause });
    mark(this, 'ExecutorUnavailableError');
    this.executor = facts.executor;
    this.reason = facts.reason;
  }

  static override isInstance(error: unknown): error is ExecutorUnavailableError {
    return isMarked(error, 'ExecutorUnavailableError');
  }
}

/** A state cannot do what was asked: positions without memory, a released range, bytes that are no snapshot of it. */
export class StateError extends AirllmError {
  readonly reason: string;

  constructor(reason: string) {
    super('ERR_STATE', `state: ${reason}`);
    mark(this, 'StateError');
    this.reason = reason;
  }

  static override isInstance(error: unknown): error is StateError {
    return isMarked(error, 'StateError');
  }
}

/** The memory granted to states is used up. */
export class StateFullError extends AirllmError {
  /** Bytes that were asked for. */
  readonly needed: number;
  /** Bytes in use before that. */
  readonly used: number;
  /** Bytes granted. */
  readonly limit: number;

  constructor(facts: { needed: number; used: number; limit: number }) {
    super(
      'ERR_STATE_FULL',
      `state memory is full: ${facts.needed} more bytes do not fit beside ${facts.used} in a limit of ${facts.limit}; ` +
        'shorten the context, run fewer sequences at once, or grant more memory',
    );
    mark(this, 'StateFullError');
    this.needed = facts.needed;
    this.used = facts.used;
    this.limit = facts.limit;
  }

  static override isInstance(error: unknown): error is StateFullError {
    return isMarked(error, 'StateFullError');
  }
}
