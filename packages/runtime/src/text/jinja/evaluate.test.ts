import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ChatTemplate } from '../chat-template';
import { ChatTemplateError } from '../errors';
import { renderChat } from '../render-chat';

interface Case {
  template: string;
  text?: string;
  /** Name of the Python exception. */
  fails?: string;
}

// What Python's jinja2 makes of these templates (see `madeBy`).
const { variables, now, cases } = JSON.parse(
  readFileSync(new URL('./fixtures/python.json', import.meta.url), 'utf8'),
) as { variables: Record<string, unknown>; now: string; cases: Case[] };

function render(template: string): string {
  return renderChat(new ChatTemplate(template), [], { variables, now: () => new Date(now) });
}

describe('templates give what Python gives', () => {
  it.each(cases)('$template', ({ template, text, fails }) => {
    if (fails === undefined) expect(render(template)).toBe(text);
    else expect(() => render(template)).toThrow(ChatTemplateError);
  });
});

describe('ChatTemplateError', () => {
  const reasonOf = (template: string) => {
    try {
      return render(template);
    } catch (error) {
      return ChatTemplateError.isInstance(error) ? error.reason : error;
    }
  };

  it('tells refusal, broken syntax and failure apart', () => {
    expect(reasonOf("{{ raise_exception('no') }}")).toBe('refused');
    expect(reasonOf('{% if %}')).toBe('syntax');
    expect(reasonOf('{{ nothing.here }}')).toBe('failed');
  });
});
