/** A repository and its revision, where one is named. */
export interface Address {
  readonly repo: string;
  readonly revision: string | undefined;
}

const REPO = /^[\w-][\w.-]*(\/[\w.-]+)?$/;

/** Undefined for what cannot be a repository: a path, most likely. */
export function addressOf(model: string, option?: string): Address | undefined {
  const [repo, revision = option, ...rest] = model.split('@') as [string, string?, ...string[]];
  return REPO.test(repo) && rest.length === 0 ? { repo, revision } : undefined;
}
