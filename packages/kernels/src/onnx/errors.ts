import { AirllmError, isMarked, mark } from '@airllm/loader';

/** onnxruntime refused or failed; the message is its own. */
export class OnnxError extends AirllmError {
  readonly reason: string;

  constructor(reason: string) {
    super('ERR_ONNX', `onnx: ${reason}`);
    mark(this, 'OnnxError');
    this.reason = reason;
  }

  static override isInstance(error: unknown): error is OnnxError {
    return isMarked(error, 'OnnxError');
  }
}

/** What was asked for does not fit into the memory granted on a device. */
export class DeviceMemoryError extends AirllmError {
  readonly device: string;
  /** Bytes that were asked for. */
  readonly needed: number;
  /** Bytes in use before that. */
  readonly used: number;
  /** Bytes granted. */
  readonly limit: number;

  constructor(facts: { device: string; what: string; needed: number; used: number; limit: number }) {
    super(
      'ERR_DEVICE_MEMORY',
      `${facts.device}: ${facts.what} of ${facts.needed} bytes do not fit beside ${facts.used} in a limit of ` +
        `${facts.limit}; grant more memory there, or give it fewer blocks`,
    );
    mark(this, 'DeviceMemoryError');
    this.device = facts.device;
    this.needed = facts.needed;
    this.used = facts.used;
    this.limit = facts.limit;
  }

  static override isInstance(error: unknown): error is DeviceMemoryError {
    return isMarked(error, 'DeviceMemoryError');
  }
}
