import type { ContentSource } from './content';
import type { Line } from './link';

/** What the server does wrong, once or for every request that matches. */
export type Fault =
  /** Answers with a status of its own; `429` with `{'retry-after': '1'}`, `503`, … */
  | { readonly kind: 'status'; readonly status: number; readonly headers?: Readonly<Record<string, string>> }
  /** Sends this much of the body, then nothing more, with the connection left open. `afterBytes: -1` sends no head either. */
  | { readonly kind: 'stall'; readonly afterBytes: number }
  /** Destroys the connection after this much of the body; -1 before the head. */
  | { readonly kind: 'cut'; readonly afterBytes: number }
  /** Ends the body early in good order: the connection closes, but `Content-Length` had promised more. */
  | { readonly kind: 'truncate'; readonly afterBytes: number }
  /** Flips the bits of the byte at this offset of the file, whenever it is sent. */
  | { readonly kind: 'corrupt'; readonly at: number }
  /** Limits this one response. */
  | { readonly kind: 'throttle'; readonly bytesPerSecond: number }
  /** Sends the file up to this byte, and the rest when told to. */
  | { readonly kind: 'hold'; readonly at: number; readonly until: Promise<unknown> }
  /** Sends over this line, which others may share. */
  | { readonly kind: 'link'; readonly link: Line }
  /** Announces so many bytes more (or fewer) than the body has. */
  | { readonly kind: 'wrong-length'; readonly by: number }
  /** Answers 200 with the whole file to a request for a range. */
  | { readonly kind: 'no-range' }
  /** Answers with bytes that start so much later than asked, and says so in Content-Range. */
  | { readonly kind: 'wrong-range'; readonly by: number }
  /** Compresses the body even if identity was asked for. */
  | { readonly kind: 'gzip' }
  /** The file has other bytes from this request on, under the same path and commit. */
  | { readonly kind: 'change'; readonly content: ContentSource }
  /** Leaves these headers out. */
  | { readonly kind: 'drop-headers'; readonly names: readonly string[] }
  /** Runs when the request arrives, before it is answered: for whatever a test wants to time. */
  | { readonly kind: 'hook'; readonly run: () => void | Promise<void> };

export type Route = 'info' | 'tree' | 'resolve' | 'cdn';

export interface FaultRule {
  readonly fault: Fault;
  /** @defaultValue all */
  readonly route?: Route | readonly Route[];
  readonly method?: 'GET' | 'HEAD';
  /** Path of a file in its repository. */
  readonly path?: string | RegExp;
  /** The request asks for a range that holds this byte. */
  readonly holding?: number;
  /** So many matching requests are served well first. @defaultValue 0 */
  readonly after?: number;
  /** How many requests meet it. @defaultValue Infinity */
  readonly times?: number;
}

export interface FaultySite {
  readonly route: Route;
  readonly method: string;
  readonly path: string;
  readonly range: { readonly from: number; readonly to: number } | null;
}

/** The rules in force, and how often each has met a request. */
export class Faults {
  #rules: { rule: FaultRule; met: number }[] = [];

  add(rule: FaultRule): () => void {
    const entry = { rule, met: 0 };
    this.#rules.push(entry);
    return () => {
      this.#rules = this.#rules.filter((each) => each !== entry);
    };
  }

  clear(): void {
    this.#rules = [];
  }

  /** The faults this request meets; each call counts as one request. */
  take(site: FaultySite): Fault[] {
    return this.#rules.flatMap((entry) => {
      if (!matches(entry.rule, site)) return [];
      const { after = 0, times = Infinity } = entry.rule;
      const turn = entry.met++;
      return turn >= after && turn < after + times ? [entry.rule.fault] : [];
    });
  }
}

function matches(rule: FaultRule, { route, method, path, range }: FaultySite): boolean {
  if (rule.route !== undefined && !([rule.route].flat() as Route[]).includes(route)) return false;
  if (rule.method !== undefined && rule.method !== method) return false;
  if (typeof rule.path === 'string' && rule.path !== path) return false;
  if (rule.path instanceof RegExp && !rule.path.test(path)) return false;
  if (rule.holding === undefined || range === null) return true;
  return range.from <= rule.holding && rule.holding < range.to;
}
