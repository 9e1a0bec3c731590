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

/** Starts another bench of this program. */
export function startBench(args: readonly string[], stdio: 'hub' | 'figures'): ChildProcess {
  const streams =
    stdio === 'hub' ? (['ignore', 'inherit', 'inherit', 'ipc'] as const) : (['ignore', 'pipe', 'pipe'] as const);
  return spawn(process.execPath, [ENTRY, ...args], { stdio: [...streams] });
}

/** A Hub on loopback in a process of its own, so that it takes no time from what is measured. */
export class HubProcess {
  readonly #child: ChildProcess;
  readonly url: string;

  private constructor(child: ChildProcess, url: string) {
    this.#child = child;
    this.url = url;
  }

  static async start(bytes: number): Promise<HubProcess> {
    const child = startBench(['serve-hub', '--bytes', String(bytes)], 'hub');
    const [{ url }] = (await once(child, 'message')) as [HubAnswer];
    return new HubProcess(child, url!);
  }

  /** Bytes of bodies it has sent. */
  async bytesSent(): Promise<number> {
    return this.#ask('bytes');
  }

  /** Bytes per second of each connection; null for as fast as it can. */
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
