import {
  type GenerateOptions,
  type GenerateRequest,
  type GenerateResult,
  type GenerationOptions,
  type LanguageModel,
  summarisePlan,
} from '@airllm/runtime';
import type { Context } from '../command';
import { type PromptStyle, promptOf } from './prompt';

export type CallOptions = GenerationOptions & Pick<GenerateOptions, 'promptCache'>;

interface AnswerRequest extends PromptStyle, CallOptions {
  readonly prompt: string;
  /** One object at the end instead of text as it comes. */
  readonly json?: boolean | undefined;
}

/** Answers one prompt on stdout. */
export async function answer(
  context: Context,
  model: LanguageModel,
  { prompt, templated, system, json, ...options }: AnswerRequest,
): Promise<GenerateResult> {
  const { terminal, signal } = context;
  const request: GenerateRequest = { ...promptOf(prompt, { templated, system }), ...options, signal };
  if (json) {
    const result = await model.generate(request);
    await terminal.printJson({
      ...result,
      model: identity(model),
      plan: summarisePlan(model.info.plan),
      peakMemory: peakMemory(),
    });
    return result;
  }
  return printAnswer(context, model, request);
}

/** Prints text as it becomes final, and a line break at its end, also where the answer is cut short. */
export async function printAnswer(
  { terminal }: Context,
  model: LanguageModel,
  request: GenerateRequest,
  onText: (text: string) => void = () => {},
): Promise<GenerateResult> {
  let printed = '';
  try {
    for await (const event of model.stream(request)) {
      if (event.type === 'finish') {
        const { type: _, ...result } = event;
        if (printed === '') await terminal.print('\n');
        return result;
      }
      printed += event.text;
      onText(event.text);
      await terminal.print(event.text);
    }
  } finally {
    if (printed !== '' && !printed.endsWith('\n')) await terminal.print('\n');
  }
  throw new Error('a stream ends with its finish event');
}

/** Most bytes this process has held at once. */
export function peakMemory(): number {
  return process.resourceUsage().maxRSS * 1024;
}

function identity({ info }: LanguageModel) {
  const { plan: _, ...rest } = info;
  return rest;
}
