import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { OptionError } from '@airllm/loader';
import type { DelayOptions } from '../delay';
import type { HubOptions, RetryOptions } from './types';

/** Everything a client needs to know, the environment read. */
export interface HubSettings extends DelayOptions {
  readonly endpoint: string;
  readonly token: string | undefined;
  readonly cacheDir: string;
  readonly offline: boolean;
  readonly retry: Required<{ [Name in keyof RetryOptions]: number }>;
  readonly stallTimeoutMs: number;
}

const DEFAULT_ENDPOINT = 'https://huggingface.co';

/** Fills in what the options leave open, by huggingface_hub's rules. The environment is read now, and nowhere else. */
export async function resolveHubSettings(options: HubOptions = {}): Promise<HubSettings> {
  return {
    endpoint: endpointOf(options.endpoint ?? (process.env.HF_ENDPOINT || DEFAULT_ENDPOINT)),
    token: await tokenOf(options.token),
    cacheDir: options.cacheDir ?? hubCache(),
    offline: isOffline(options.offline),
    retry: {
      attempts: options.retry?.attempts ?? 8,
      baseMs: options.retry?.baseMs ?? 500,
      maxMs: options.retry?.maxMs ?? 60_000,
    },
    stallTimeoutMs: options.stallTimeoutMs ?? 20_000,
    onDelay: options.onDelay,
  };
}

/** Whether the network is not to be used: the option, else HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE. */
export function isOffline(option: boolean | undefined): boolean {
  return option ?? (isTrue(process.env.HF_HUB_OFFLINE) || isTrue(process.env.TRANSFORMERS_OFFLINE));
}

/** The cache folder, by huggingface_hub's rules. */
export function hubCache(): string {
  const { HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE } = process.env;
  return expanded(HF_HUB_CACHE || HUGGINGFACE_HUB_CACHE || join(hubHome(), 'hub'));
}

function hubHome(): string {
  const { HF_HOME, XDG_CACHE_HOME } = process.env;
  return expanded(HF_HOME || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'huggingface'));
}

/** `~` and `$NAME` in a path that no shell has seen, as huggingface_hub takes them; names that are not set stay. */
function expanded(path: string): string {
  const named = path.replace(/\$(?:(\w+)|\{(\w+)\})/g, (text, bare, braced) => process.env[bare ?? braced] ?? text);
  return /^~(?=[\\/]|$)/.test(named) ? join(homedir(), named.slice(1)) : named;
}

function endpointOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new OptionError({ option: 'endpoint (HF_ENDPOINT)', expected: 'an http or https address', found: text });
  }
  return text.replace(/\/+$/, '');
}

async function tokenOf(option: string | false | undefined): Promise<string | undefined> {
  if (option === false) return undefined;
  const token = clean(option) ?? clean(process.env.HF_TOKEN) ?? clean(process.env.HUGGING_FACE_HUB_TOKEN);
  if (token !== undefined) return token;
  if (isTrue(process.env.HF_HUB_DISABLE_IMPLICIT_TOKEN)) return undefined;
  const file = expanded(process.env.HF_TOKEN_PATH || join(hubHome(), 'token'));
  return clean(await readFile(file, 'utf8').catch(() => undefined));
}

/** A line break in a header would be an error that shows the token. */
function clean(token: string | undefined): string | undefined {
  const line = token?.replace(/[\r\n]/g, '').trim();
  return line ? line : undefined;
}

function isTrue(value: string | undefined): boolean {
  return /^(1|on|yes|true)$/i.test(value ?? '');
}
