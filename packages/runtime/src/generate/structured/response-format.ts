import { OptionError } from '@airllm/loader';

/** What a text must be; needs the optional package `@mlc-ai/web-xgrammar`, and a model with a tokenizer. */
export type ResponseFormat =
  /** Anything. */
  | { readonly type: 'text' }
  /** Some JSON object. */
  | { readonly type: 'json_object' }
  /** JSON that a JSON Schema allows, on one line; properties it does not name are not, unless it says so. */
  | { readonly type: 'json_schema'; readonly schema: Readonly<Record<string, unknown>> | boolean }
  /** What a grammar in XGrammar's EBNF derives from `root`. */
  | { readonly type: 'grammar'; readonly grammar: string };

/** Undefined where anything is allowed. Throws `OptionError`. */
export function checkedFormat(
  format: ResponseFormat | undefined,
): Exclude<ResponseFormat, { type: 'text' }> | undefined {
  if (format === undefined || format.type === 'text') return undefined;
  const option = 'responseFormat';
  switch (format.type) {
    case 'json_object':
      return format;
    case 'json_schema':
      if (typeof format.schema === 'boolean' || (typeof format.schema === 'object' && format.schema !== null))
        return format;
      throw new OptionError({ option, expected: 'a JSON Schema as schema', found: format.schema });
    case 'grammar':
      if (typeof format.grammar === 'string') return format;
      throw new OptionError({ option, expected: 'a string as grammar', found: format.grammar });
    default: {
      const found = (format as { type?: unknown }).type;
      throw new OptionError({ option, expected: 'type text, json_object, json_schema or grammar', found });
    }
  }
}
