import type { DelayOptions } from '../delay';
import type { ByteRange } from './range-set';

/** How a Hub is reached and where files are kept; what is left out comes from the environment, as huggingface_hub has it. */
export interface HubOptions extends DelayOptions {
  /** Address of the Hub. @defaultValue HF_ENDPOINT, else https://huggingface.co */
  readonly endpoint?: string | undefined;
  /**
   * Access token; `false` sends none. It goes to the endpoint's own origin only, never to an address that the Hub
   * redirects to. @defaultValue HF_TOKEN, HUGGING_FACE_HUB_TOKEN, else the file HF_TOKEN_PATH or HF_HOME/token
   */
  readonly token?: string | false | undefined;
  /** The Hugging Face hub cache. @defaultValue HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub */
  readonly cacheDir?: string | undefined;
  /** Never asks the network. @defaultValue HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE */
  readonly offline?: boolean | undefined;
  /** How failed requests are tried again. */
  readonly retry?: RetryOptions | undefined;
  /** A connection that brings nothing for so long is given up and tried again, in milliseconds. @defaultValue 20_000 */
  readonly stallTimeoutMs?: number | undefined;
}

/** How patient a client is. */
export interface RetryOptions {
  /**
   * Attempts in a row without a single new byte before giving up; at most 4 for the first questions about a repository.
   * @defaultValue 8
   */
  readonly attempts?: number | undefined;
  /** First pause in milliseconds; doubled every time, with jitter. @defaultValue 500 */
  readonly baseMs?: number | undefined;
  /** Longest pause in milliseconds that is waited, a server's Retry-After included. @defaultValue 60_000 */
  readonly maxMs?: number | undefined;
}

/** A repository at one commit. */
export interface HubModelInfo {
  /** The id by which the Hub knows it; differs from what was asked for after a rename. */
  readonly repo: string;
  /** Full id of the commit that the revision names. */
  readonly commit: string;
  readonly gated: boolean;
  readonly private: boolean;
}

/** A file of a repository. */
export interface HubFile {
  /** Path in the repository, with `/`. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Name of the blob: the sha256 of an LFS file, else git's id of its content. */
  readonly etag: string;
  /** Given for LFS files. */
  readonly sha256: string | undefined;
}

/** One file of one commit. */
export interface HubFileAddress {
  readonly repo: string;
  /** A commit; with a branch or tag two reads may see different files. */
  readonly revision: string;
  readonly path: string;
}

/** What every question to a Hub takes. */
export interface HubCallOptions {
  readonly signal?: AbortSignal | undefined;
}

/** A client of one Hub. */
export interface Hub extends AsyncDisposable {
  readonly endpoint: string;
  readonly cacheDir: string;
  readonly offline: boolean;
  /** What a revision (branch, tag, commit; `main` if undefined) is. Throws `HubError`s, see errors.ts. */
  modelInfo(repo: string, revision?: string, options?: HubCallOptions): Promise<HubModelInfo>;
  /** All files of a commit. */
  listFiles(repo: string, commit: string, options?: HubCallOptions): Promise<HubFile[]>;
  /** The bytes `[from, to)` of a file, no more of it being sent. For headers and small files: it is held in memory. */
  readRange(file: HubFileAddress, from: number, to: number, options?: HubCallOptions): Promise<Uint8Array>;
  /** A small file whole. At most 64 MiB. */
  readFile(file: HubFileAddress, options?: HubCallOptions): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** Which weights are wanted where a repository has several. */
export type WeightsWanted = 'auto' | 'safetensors' | 'bin' | 'gguf';

/** How a download stands; sums count the bytes of all files chosen. */
export interface PullProgress {
  readonly repo: string;
  readonly commit: string;
  /** The file that brought the news. */
  readonly file: string;
  readonly fileBytesDone: number;
  readonly fileBytesTotal: number;
  /** Bytes that are on disk, those of earlier runs and of files that were there included. */
  readonly bytesDone: number;
  readonly bytesTotal: number;
  /** Bytes that were there when this download began. */
  readonly bytesAtStart: number;
  readonly filesDone: number;
  readonly filesTotal: number;
  /** What the network brought lately; 0 until something came. */
  readonly bytesPerSecond: number;
  /** Undefined until there is a rate that tells something: for the first second. */
  readonly secondsLeft: number | undefined;
}

/** What `pullModel` fetches, and how. */
export interface PullOptions extends HubOptions, HubCallOptions {
  /** Branch, tag or commit. @defaultValue main */
  readonly revision?: string | undefined;
  /** @defaultValue 'auto': safetensors where there are any, else `.bin`, else GGUF */
  readonly weights?: WeightsWanted | undefined;
  /**
   * A name that GGUF files carry, such as `Q8_0`; implies `weights: 'gguf'`. @defaultValue the only one there is, else
   * `Q4_K_M`
   */
  readonly quantisation?: string | undefined;
  /** Exactly these files of the repository, in this order, instead of those a run needs. */
  readonly files?: readonly string[] | undefined;
  /** Puts the files in the order in which they are wanted. @defaultValue small files first, then weights by name */
  readonly order?: ((files: readonly HubFile[]) => readonly HubFile[]) | undefined;
  /**
   * Ranges of a file in the order in which they are read while it comes (`written`). A part is then fetched when they or
   * the checksum, which goes from the start to the end, get to it. @defaultValue from the start to the end
   */
  readonly wanted?: ((file: HubFile) => readonly ByteRange[]) | undefined;
  /** Connections in use at once, over all files, at most: more than two where they bring more. @defaultValue 8 */
  readonly connections?: number | undefined;
  /** At most about ten times a second. */
  readonly onProgress?: ((progress: PullProgress) => void) | undefined;
  /** A file is in its place, verified. Files that were there already are told first. */
  readonly onFile?: ((file: HubFile, path: string) => void) | undefined;
  /** What was written of a file is thrown away, since it is not what it should be; it is then fetched anew, or given up. */
  readonly onDiscarded?: ((file: HubFile) => void) | undefined;
}

/** A model that is in the cache. */
export interface PulledModel {
  readonly repo: string;
  readonly commit: string;
  /** The snapshot: a folder with config.json and the weights. */
  readonly dir: string;
  readonly files: readonly HubFile[];
  /** Bytes that came over the network, repeated ones included. */
  readonly bytesReceived: number;
}

/** A download under way. */
export interface Pull {
  readonly repo: string;
  readonly commit: string;
  /** The snapshot folder; files appear there one by one, each complete and verified. */
  readonly dir: string;
  /** What is fetched, in that order. */
  readonly files: readonly HubFile[];
  readonly bytesTotal: number;
  /** Resolves with its path in the snapshot once a file is complete and verified; rejects if the pull fails. */
  ready(path: string): Promise<string>;
  /**
   * Resolves once the bytes `[from, to)` of a file have been written, with the path of a file that has them at the same
   * places: the one in the snapshot, or what there is of it so far, a file of the full length whose other bytes may be
   * anything. They count as verified when `ready` says so, not before. Rejects if the pull fails.
   */
  written(path: string, from: number, to: number): Promise<string>;
  /** Resolves when all files are there. */
  readonly done: Promise<PulledModel>;
}
