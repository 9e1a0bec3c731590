/** What the host and a reader thread say to each other. Memory travels as addresses, never as copies. */

/** Where the bytes go: native memory, or (without the foreign function interface) a SharedArrayBuffer. */
export type Target = { readonly address: bigint } | { readonly buffer: SharedArrayBuffer; readonly start: number };

/** A second way to a file that is opened for direct I/O: through the page cache. */
export interface CacheView {
  readonly fd: number;
  /** Of the whole file, for asking which pages are in memory; never read itself. */
  readonly mapping: bigint;
  readonly size: number;
}

export interface OpenRequest {
  readonly op: 'open';
  readonly path: string;
  /** `direct-or-plain` falls back where the drive does not know direct I/O. */
  readonly mode: 'direct' | 'direct-or-plain' | 'plain' | 'mmap';
  /** Devices (st_dev) already known to refuse direct I/O. */
  readonly plainDevices: readonly number[];
  /** Whether direct files may be read from the page cache where that has the bytes. */
  readonly useCache: boolean;
}

export interface OpenReply {
  readonly fd: number;
  readonly direct: boolean;
  readonly size: number;
  readonly device: number;
  /** Of the mapping, if one was asked for and the file is not empty. */
  readonly mapping: bigint | undefined;
  readonly cache: CacheView | undefined;
}

export interface ReadRequest {
  readonly op: 'read';
  readonly fd: number;
  readonly direct: boolean;
  readonly offset: number;
  /** Bytes to ask for; block-aligned if direct, so it may reach past the end of the file. */
  readonly length: number;
  /** Bytes that must arrive. */
  readonly needed: number;
  readonly target: Target;
  /** Take the bytes out of the page cache again once they are copied. */
  readonly dropCache: boolean;
  /** Where to look first. */
  readonly cache?: CacheView | undefined;
  /** Bytes of each run whose CRC-32 is wanted; `length` is a multiple of it. */
  readonly checksumBytes?: number | undefined;
}

export interface ReadReply {
  /** Bytes that arrived. */
  readonly bytes: number;
  /** They came from the page cache. */
  readonly cached: boolean;
  /** One for every `checksumBytes`, in order. */
  readonly checksums?: Uint32Array | undefined;
}

export interface CopyRequest {
  readonly op: 'copy';
  readonly fd: number;
  readonly mapping: bigint;
  readonly offset: number;
  readonly length: number;
  readonly needed: number;
  readonly target: Target;
}

/** Makes a file that nobody else shall see. */
export interface CreateRequest {
  readonly op: 'create';
  readonly path: string;
}

export interface CreateReply {
  readonly fd: number;
  readonly direct: boolean;
  /** It still has its name, since the system does not part an open file from it. */
  readonly named: boolean;
}

export interface WriteRequest {
  readonly op: 'write';
  readonly fd: number;
  readonly direct: boolean;
  readonly offset: number;
  readonly length: number;
  readonly source: Target;
  /** As of a read; taken before the bytes are written. */
  readonly checksumBytes: number;
}

export interface WriteReply {
  readonly checksums: Uint32Array;
}

/** Cuts a file off, so that the drive has room for others. */
export interface TruncateRequest {
  readonly op: 'truncate';
  readonly fd: number;
  readonly length: number;
}

export interface CloseRequest {
  readonly op: 'close';
  readonly fd: number;
  readonly mapping: bigint | undefined;
  readonly size: number;
  readonly cache: CacheView | undefined;
}

export type Request =
  | OpenRequest
  | ReadRequest
  | CopyRequest
  | CreateRequest
  | WriteRequest
  | TruncateRequest
  | CloseRequest;

export type Reply = OpenReply | ReadReply | CreateReply | WriteReply | undefined;

export interface Failure {
  /** The system's name; undefined where the file simply ended. */
  readonly errno: string | undefined;
  readonly message: string;
  /** Bytes that had arrived. */
  readonly found: number;
}

export interface HostMessage {
  readonly id: number;
  readonly request: Request;
}

export type ThreadMessage =
  | { readonly id: number; readonly value: Reply; readonly failure?: undefined }
  | { readonly id: number; readonly failure: Failure };
