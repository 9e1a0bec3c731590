/** A request failed and is made again by itself. */
export interface RetryDelay {
  readonly type: 'retrying';
  /** Path in the repository; undefined for what is asked about a repository. */
  readonly file: string | undefined;
  /** Whom the request went to. */
  readonly host: string;
  /** What failed, in words. */
  readonly reason: string;
  /** Failures in a row without a single new byte, 1 for the first. */
  readonly attempt: number;
  readonly waitMs: number;
}

/** Another process is downloading a file; what it brings is used, and what it leaves is gone on with. */
export interface DownloadDelay {
  readonly type: 'waiting';
  readonly for: 'download';
  readonly repo: string;
  readonly file: string;
}

/** Another process is converting the model; its copy is used, or made when that process has died. */
export interface ConversionDelay {
  readonly type: 'waiting';
  readonly for: 'conversion';
  /** Folder of the copy. */
  readonly dir: string;
  readonly pid: number;
  readonly host: string;
}

/** What holds a model up for a while. */
export type Delay = RetryDelay | DownloadDelay | ConversionDelay;

export interface DelayOptions {
  /** Is told why nothing comes: of failed requests that are made again, and of other processes that are waited for. */
  readonly onDelay?: ((delay: Delay) => void) | undefined;
}
