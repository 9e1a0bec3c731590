import { OptionError } from '@airllm/loader';
import type { ResolvedGeneration } from '../options';
import type { GenerationSession } from '../session';
import type { GenerateRequest } from '../types';

/** What of a request a constraint follows from, and what it changes. */
interface Constrainable {
  readonly request: GenerateRequest;
  readonly resolved: ResolvedGeneration;
  readonly prompt: readonly number[];
}

/** A request that keeps to its `responseFormat`; `release` it when all of its texts have ended. */
export type Constrained<Request> = Request & { readonly release: () => void };

/**
 * Adds the processor and the stopping criterion that a `responseFormat` means; nothing for a request without one. Throws
 * `GrammarLibraryError`, `GrammarError`, `MissingTokenizerError`.
 */
export async function constrained<Request extends Constrainable>(
  session: GenerationSession,
  prepared: Request,
): Promise<Constrained<Request>> {
  const { resolved, prompt, request } = prepared;
  const { responseFormat, sampling } = resolved;
  if (responseFormat === undefined) return { ...prepared, release: () => {} };
  const { grammars } = session;
  if (grammars === undefined) {
    const expected = 'a session with grammars, as AutoModel makes it';
    throw new OptionError({ option: 'responseFormat', expected, found: 'one without' });
  }
  const texts = request.numReturnSequences ?? 1;
  const constraint = await grammars.constrain(responseFormat, { texts, promptLength: prompt.length });
  const processors = [...(sampling.processors ?? []), constraint.process];
  const stoppingCriteria = grammars.hasEndTokens
    ? resolved.stoppingCriteria
    : [...resolved.stoppingCriteria, constraint.isWhole];
  return {
    ...prepared,
    resolved: { ...resolved, sampling: { ...sampling, processors }, stoppingCriteria },
    release: () => constraint.dispose(),
  };
}
