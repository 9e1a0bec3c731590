import { REPO_ID } from './client';

/** What names a model of the Hub. */
export interface ModelAddress {
  /** `org/name`. */
  readonly repo: string;
  /** Branch, tag or commit. */
  readonly revision: string | undefined;
  /** Which GGUF files of the repository, such as `Q4_K_M`. */
  readonly quantisation: string | undefined;
}

// git forbids colons in the names of branches and tags.
const ADDRESS = /^([^@:]+)(?:@([^@:]+))?(?::([\w.-]+))?$/;

/**
 * Takes apart `org/name`, `org/name@revision`, `org/name:Q4_K_M` (as llama.cpp and Ollama call a GGUF file) and
 * `org/name@revision:Q4_K_M`. Undefined for what cannot be a repository: a path, most likely.
 */
export function parseAddress(text: string): ModelAddress | undefined {
  const [, repo, revision, quantisation] = ADDRESS.exec(text) ?? [];
  if (repo === undefined || repo.startsWith('.') || !REPO_ID.test(repo)) return undefined;
  return { repo, revision, quantisation };
}
