import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** What is served. */
export const REPO = 'bench/model';
export const FILE = 'model.safetensors';

/** What the process of the server is asked, and what it answers. */
export type HubQuestion = { readonly throttle: number | null } | 'bytes';
export interface HubAnswer {
  readonly url?: string;
  readonly bytes?: number;
}

/** In the bundle every module lies beside bin.js. */
const ENTRY = path.join(path.dirname(fileURLToPath(import.meta.url)), 'bin.js');

/** Another bench of this program. */
export function benchCommand(args: readonly string[]): string[] {
  return [process.execPath, ENTRY, ...args];
}

export function startBench(args: readonly string[], stdio: 'hub' | 'figures'): ChildProcess {
  const streams =
    stdio === 'hub' ? (['ignore', 'inherit', 'inherit', 'ipc'] as const) : (['ignore', 'pipe', 'pipe'] as const);
  const [program, ...rest] = benchCommand(args) as [string, ...string[]];
  return spawn(program, rest, { stdio: [...streams] });
}

/** A Hub on loopback in a process of its own, so that it takes no time from what is measured. */
export class HubProcess {
  readonly #child: ChildProcess;
  readonly url: string;

  private constructor(child: ChildProcess, url: string) {
    this.#child = child;
    this.url = url;
  }

  /** nginx serves the weights from that folder; `https`: by the Hub, encrypted. */
  static async start(bytes: number, by: 'hub' | 'https' | { readonly nginx: string }): Promise<HubProcess> {
    const how = typeof by === 'object' ? ['--nginx', by.nginx] : by === 'https' ? ['--certificate'] : [];
    const child = startBench(['serve-hub', '--bytes', String(bytes), ...how], 'hub');
    const ended = once(child, 'exit').then(() => {
      throw new Error('the Hub has ended');
    });
    const [{ url }] = (await Promise.race([once(child, 'message'), ended])) as [HubAnswer];
    ended.catch(() => {});
    return new HubProcess(child, url!);
  }

  /** Bytes of bodies it has sent. */
  async bytesSent(): Promise<number> {
    return this.#ask('bytes');
  }

  /** Bytes per second of all connections together; null for as fast as it can. */
  async throttle(rate: number | null): Promise<void> {
    await this.#ask({ throttle: rate });
  }

  stop(): void {
    this.#child.disconnect();
  }

  async #ask(question: HubQuestion): Promise<number> {
    const answer = once(this.#child, 'message') as Promise<[HubAnswer]>;
    this.#child.send(question);
    return (await answer)[0].bytes!;
  }
}
