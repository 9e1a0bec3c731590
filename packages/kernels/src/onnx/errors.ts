import { AirllmError, isMarked, mark } from '@airllm/loader';

/**
 * `memory`: there is not as much as was asked for. `lost`: the device or its thread is gone, and whatever lay there;
 * executors opened afterwards begin anew. `refused`: any other failure.
 */
export type OnnxFailure = 'refused' | 'memory' | 'lost';

export interface OnnxErrorFacts {
  /** In onnxruntime's words, where they are its own. */
  readonly reason: string;
  /** @defaultValue 'refused' */
  readonly failure?: OnnxFailure | undefined;
  /** What was being done, such as `uploading 4096 bytes of weights`. */
  readonly doing?: string | undefined;
  /** What computes: `webgpu` or `cpu`. */
  readonly device?: string | undefined;
  /** Bytes of its memory that were granted; infinite without a limit. */
  readonly granted?: number | undefined;
  readonly cause?: unknown;
}

/** onnxruntime refused or failed, or the device it computes on did. */
export class OnnxError extends AirllmError {
  readonly reason: string;
  readonly failure: OnnxFailure;
  readonly doing: string | undefined;
  readonly device: string | undefined;
  readonly granted: number | undefined;

  constructor(facts: OnnxErrorFacts) {
    super('ERR_ONNX', `onnx: ${sentence(facts)}`, { cause: facts.cause });
    mark(this, 'OnnxError');
    this.reason = facts.reason;
    this.failure = facts.failure ?? 'refused';
    this.doing = facts.doing;
    this.device = facts.device;
    this.granted = facts.granted;
  }

  static override isInstance(error: unknown): error is OnnxError {
    return isMarked(error, 'OnnxError');
  }
}

function sentence({ reason, failure, doing, device, granted }: OnnxErrorFacts): string {
  if (doing === undefined) return reason;
  const grant = granted === undefined || granted === Number.POSITIVE_INFINITY ? 'no limit' : `${granted} bytes`;
  const where = `${doing} on ${device} (memory granted there: ${grant}) failed: ${reason}`;
  if (device === 'cpu') return where;
  const again = failure === 'lost' ? 'open the model again, and if that does not help, ' : '';
  return `${where}; ${again}grant it less memory (vram), or compute on the CPU (device cpu)`;
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
