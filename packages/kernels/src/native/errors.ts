import { AirllmError, isMarked, mark } from '@airllm/loader';

/** The native library refused a call or failed in it. */
export class NativeError extends AirllmError {
  /** What was asked for: `run`, `compile`, `open`. */
  readonly call: string;
  /** Status code of `airllm.h`. */
  readonly status: number;
  readonly reason: string;

  constructor(facts: { call: string; status: number; reason: string }) {
    super('ERR_NATIVE', `native ${facts.call}: ${facts.reason} (status ${facts.status})`);
    mark(this, 'NativeError');
    this.call = facts.call;
    this.status = facts.status;
    this.reason = facts.reason;
  }

  static override isInstance(error: unknown): error is NativeError {
    return isMarked(error, 'NativeError');
  }
}
