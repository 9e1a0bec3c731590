import type { Delay, RetryDelay } from '@airllm/runtime';
import type { Terminal } from './terminal';
import { formatSeconds } from './units';

/** Says on stderr what holds a model up. Several connections that fail together are one piece of news. */
export class DelayNotes {
  readonly #terminal: Terminal;
  readonly #now: () => number;
  /** Waits for others that were told: one line for all files of a repository. */
  readonly #told = new Set<string>();
  #last: { readonly attempt: number; readonly until: number } | undefined;

  constructor(terminal: Terminal, now: () => number = () => performance.now()) {
    this.#terminal = terminal;
    this.#now = now;
  }

  readonly show = (delay: Delay): void => {
    if (delay.type === 'waiting') {
      const line = waitLine(delay);
      if (!this.#told.has(line)) this.#terminal.note(line);
      this.#told.add(line);
      return;
    }
    const now = this.#now();
    if (this.#last !== undefined && now < this.#last.until && delay.attempt <= this.#last.attempt) return;
    this.#last = { attempt: delay.attempt, until: now + delay.waitMs };
    this.#terminal.note(retryLine(delay));
  };
}

function retryLine({ file, host, reason, attempt, waitMs }: RetryDelay): string {
  const time = attempt === 1 ? '' : ` (${ordinal(attempt)} time)`;
  return `${file === undefined ? '' : `${file}: `}${reason} (${host}), trying again in ${formatSeconds(waitMs / 1000)}${time}\n`;
}

function waitLine(delay: Exclude<Delay, RetryDelay>): string {
  if (delay.for === 'download') return `another process is downloading ${delay.repo}; waiting for it\n`;
  const { dir, pid, host } = delay;
  return `process ${pid} on ${host} is converting this model into ${dir}; waiting for it\n`;
}

function ordinal(count: number): string {
  const last = count % 10;
  const isTeen = Math.floor(count / 10) % 10 === 1;
  return `${count}${isTeen ? 'th' : (['th', 'st', 'nd', 'rd'][last] ?? 'th')}`;
}
