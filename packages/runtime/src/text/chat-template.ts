import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { ChatTemplateError, TokenizerError } from './errors';
import type { Node } from './jinja/ast';
import { parseTemplate } from './jinja/parse';
import { isJsonObject, type JsonObject, readJsonFile, readTextFile } from './json-file';
import { namedSpecialTokens, type SpecialTokens } from './special-tokens';

/** A template as tokenizer_config.json has it: a Jinja source, or several with their names. */
export type ChatTemplateSource =
  | string
  | Readonly<Record<string, string>>
  | readonly { readonly name: string; readonly template: string }[];

/** A model's chat template: one Jinja source, or several by name (`default`, `tool_use`, `rag`). */
export class ChatTemplate {
  readonly sources: ReadonlyMap<string, string>;
  /** What the template may print as `bos_token`, `eos_token` and so on. */
  readonly specialTokens: SpecialTokens;
  private readonly parsed = new Map<string, Node>();

  /** @throws TokenizerError where the source has another shape. */
  constructor(source: ChatTemplateSource, specialTokens: SpecialTokens = {}) {
    this.sources = new Map(Object.entries(namedSources(source, 'the chat template')));
    this.specialTokens = specialTokens;
  }

  /**
   * The name transformers would pick: the asked one, else `tool_use` for tools where it exists, else `default`.
   *
   * @throws ChatTemplateError where no template of that name exists.
   */
  choose(options: { name?: string | undefined; hasTools: boolean }): string {
    const name = options.name ?? (options.hasTools && this.sources.has('tool_use') ? 'tool_use' : 'default');
    if (this.sources.has(name)) return name;
    // A single template is the default whatever it is called.
    const [only] = this.sources.keys();
    if (options.name === undefined && this.sources.size === 1 && only !== undefined) return only;
    const detail = `there is no template of that name, only ${[...this.sources.keys()].join(', ')}`;
    throw new ChatTemplateError({ reason: 'failed', template: name, detail });
  }

  /**
   * The syntax tree of a template, parsed once.
   *
   * @throws ChatTemplateError where it is not Jinja.
   */
  program(name: string): Node {
    let program = this.parsed.get(name);
    if (program === undefined) {
      try {
        program = parseTemplate(this.sources.get(name)!);
      } catch (cause) {
        const detail = (cause as Error).message;
        throw new ChatTemplateError({ reason: 'syntax', template: name, detail, cause });
      }
      this.parsed.set(name, program);
    }
    return program;
  }
}

function namedSources(value: unknown, file: string): Record<string, string> {
  if (typeof value === 'string') return { default: value };
  const entries = Array.isArray(value)
    ? value.map((item) => (isJsonObject(item) ? [item.name, item.template] : []))
    : Object.entries(isJsonObject(value) ? value : {});
  if (entries.length > 0 && entries.every(([name, text]) => typeof name === 'string' && typeof text === 'string')) {
    return Object.fromEntries(entries) as Record<string, string>;
  }
  const reason = 'expected a string or a list of { name, template }';
  throw new TokenizerError({ file, field: 'chat_template', reason });
}

/**
 * The chat template of a model folder, or null where it has none. Looked for as transformers does: chat_template.jinja
 * (with additional_chat_templates/), then chat_template.json, then tokenizer_config.json.
 *
 * @throws TokenizerError where one of these files is broken.
 */
export async function loadChatTemplate(
  dir: string,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<ChatTemplate | null> {
  const { signal } = options;
  const config = (await readJsonFile(dir, 'tokenizer_config.json', signal)) ?? {};
  const map = (await readJsonFile(dir, 'special_tokens_map.json', signal)) ?? {};
  const sources = await findSources(dir, config, signal);
  return sources === undefined ? null : new ChatTemplate(sources, namedSpecialTokens(config, map));
}

async function findSources(
  dir: string,
  config: JsonObject,
  signal: AbortSignal | undefined,
): Promise<Record<string, string> | undefined> {
  const jinja = await readTextFile(dir, 'chat_template.jinja', signal);
  const additional = await additionalSources(dir, signal);
  if (jinja !== undefined) return { ...additional, default: jinja };
  if (Object.keys(additional).length > 0) return additional;
  const json = await readJsonFile(dir, 'chat_template.json', signal);
  if (json?.chat_template != null) return namedSources(json.chat_template, path.join(dir, 'chat_template.json'));
  if (config.chat_template == null) return undefined;
  return namedSources(config.chat_template, path.join(dir, 'tokenizer_config.json'));
}

const ADDITIONAL = 'additional_chat_templates';

async function additionalSources(dir: string, signal: AbortSignal | undefined): Promise<Record<string, string>> {
  let names: string[];
  try {
    names = await readdir(path.join(dir, ADDITIONAL));
  } catch {
    return {};
  }
  const sources: Record<string, string> = {};
  for (const name of names.filter((file) => file.endsWith('.jinja')).sort()) {
    sources[name.slice(0, -'.jinja'.length)] = (await readTextFile(path.join(dir, ADDITIONAL), name, signal)) ?? '';
  }
  return sources;
}
