import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { OptionError } from '@airllm/loader';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../testing/temporary';
import { ChatTemplate, loadChatTemplate } from './chat-template';
import { ChatTemplateError, MissingChatTemplateError, TokenizerError } from './errors';
import { renderChat } from './render-chat';

const CHATML = `{% for m in messages %}<|{{ m.role }}|>
{{ m.content }}<|end|>
{% endfor %}{% if add_generation_prompt %}<|assistant|>
{% endif %}`;
const hello = [{ role: 'user', content: 'Hello' }];

describe('renderChat', () => {
  it('renders messages, with and without the beginning of an answer', () => {
    const template = new ChatTemplate(CHATML);
    expect(renderChat(template, hello)).toBe('<|user|>\nHello<|end|>\n');
    expect(renderChat(template, hello, { addGenerationPrompt: true })).toBe('<|user|>\nHello<|end|>\n<|assistant|>\n');
  });

  it('ends right after the last content to continue it, also where the template trims', () => {
    const messages = [...hello, { role: 'assistant', content: 'Dear \n' }];
    const options = { continueFinalMessage: true };
    expect(renderChat(new ChatTemplate(CHATML), messages, options)).toBe(
      '<|user|>\nHello<|end|>\n<|assistant|>\nDear \n',
    );
    const trimming = new ChatTemplate(CHATML.replace('m.content', 'm.content | trim'));
    expect(renderChat(trimming, messages, options)).toBe('<|user|>\nHello<|end|>\n<|assistant|>\nDear');
    const parts = [{ role: 'assistant', content: [{ type: 'text', text: 'Dear' }] }];
    const ofParts = new ChatTemplate('{% for m in messages %}{{ m.content[0].text }}!{% endfor %}');
    expect(renderChat(ofParts, parts, options)).toBe('Dear');
  });

  it('refuses options that contradict each other, and nothing to continue', () => {
    const both = { continueFinalMessage: true, addGenerationPrompt: true };
    expect(() => renderChat(new ChatTemplate(CHATML), hello, both)).toThrow(OptionError);
    expect(() => renderChat(new ChatTemplate(CHATML), [], { continueFinalMessage: true })).toThrow(OptionError);
    const silent = new ChatTemplate('nothing');
    expect(() => renderChat(silent, hello, { continueFinalMessage: true })).toThrow(ChatTemplateError);
  });

  it('says what to do where there is no template', () => {
    expect(() => renderChat(null, hello)).toThrow(MissingChatTemplateError);
  });

  it('drops null fields, and keeps them where the template needs them', () => {
    const messages = [{ role: 'assistant', content: null }];
    const asks = "{{ 'content' in messages[0] }}";
    expect(renderChat(new ChatTemplate(asks), messages)).toBe('False');
    const needs = "{% if 'content' not in messages[0] %}{{ raise_exception('content?') }}{% endif %}kept";
    expect(renderChat(new ChatTemplate(needs), messages)).toBe('kept');
  });

  it('gives reasoning_content as thinking too', () => {
    const template = new ChatTemplate('{{ messages[0].thinking }}');
    expect(renderChat(template, [{ role: 'assistant', content: '', reasoning_content: 'hm' }])).toBe('hm');
  });

  it('passes tools, documents, special tokens and further variables', () => {
    const template = new ChatTemplate('{{ bos_token }}{{ tools | tojson }}{{ documents }}{{ enable_thinking }}', {
      bos_token: '<s>',
    });
    expect(renderChat(template, hello, { tools: [{ a: 1 }], variables: { enable_thinking: false } })).toBe(
      '<s>[{"a": 1}]NoneFalse',
    );
  });

  it('takes the local clock from the caller', () => {
    const template = new ChatTemplate("{{ strftime_now('%Y-%m-%d %H:%M') }}");
    expect(renderChat(template, [], { now: () => new Date(2024, 1, 29, 23, 5) })).toBe('2024-02-29 23:05');
  });

  it('chooses among named templates', () => {
    const template = new ChatTemplate([
      { name: 'default', template: 'plain' },
      { name: 'tool_use', template: 'tools' },
      { name: 'rag', template: 'documents' },
    ]);
    expect(renderChat(template, hello)).toBe('plain');
    expect(renderChat(template, hello, { tools: [{}] })).toBe('tools');
    expect(renderChat(template, hello, { template: 'rag' })).toBe('documents');
    expect(() => renderChat(template, hello, { template: 'other' })).toThrow(ChatTemplateError);
  });
});

describe('loadChatTemplate', () => {
  const folder = (files: Record<string, string>) => {
    const dir = temporaryFolder();
    for (const [name, content] of Object.entries(files)) {
      mkdirSync(path.dirname(path.join(dir, name)), { recursive: true });
      writeFileSync(path.join(dir, name), content);
    }
    return dir;
  };
  const config = JSON.stringify({ bos_token: { content: '<s>' }, chat_template: 'config {{ bos_token }}' });
  const rendered = async (files: Record<string, string>) => renderChat(await loadChatTemplate(folder(files)), []);

  it('reads the three places, the file of its own first', async () => {
    expect(await rendered({ 'tokenizer_config.json': config })).toBe('config <s>');
    const json = { 'tokenizer_config.json': config, 'chat_template.json': '{"chat_template":"json"}' };
    expect(await rendered(json)).toBe('json');
    expect(await rendered({ ...json, 'chat_template.jinja': 'jinja{{ bos_token }}' })).toBe('jinja<s>');
    const named = JSON.stringify({ chat_template: [{ name: 'default', template: 'one of two' }] });
    expect(await rendered({ 'tokenizer_config.json': named })).toBe('one of two');
  });

  it('reads additional templates', async () => {
    const template = await loadChatTemplate(
      folder({ 'chat_template.jinja': 'a', 'additional_chat_templates/tool_use.jinja': 'b' }),
    );
    expect(renderChat(template, [], { tools: [{}] })).toBe('b');
  });

  it('is null where there is none, and an error where a file is broken', async () => {
    expect(await loadChatTemplate(folder({ 'tokenizer_config.json': '{}' }))).toBeNull();
    expect(await loadChatTemplate(folder({}))).toBeNull();
    await expect(loadChatTemplate(folder({ 'tokenizer_config.json': '{' }))).rejects.toThrow(TokenizerError);
    const odd = JSON.stringify({ chat_template: 7 });
    await expect(loadChatTemplate(folder({ 'tokenizer_config.json': odd }))).rejects.toThrow(TokenizerError);
  });

  it('stops where it is aborted', async () => {
    const reason = new Error('enough');
    const dir = folder({ 'tokenizer_config.json': config });
    await expect(loadChatTemplate(dir, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});
