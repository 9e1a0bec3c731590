import { type ModelAddress, parseAddress } from '@airllm/runtime';

/** What options say of a model whose address leaves it open. */
export type AddressOptions = Partial<Pick<ModelAddress, 'revision' | 'quantisation'>>;

/** Undefined for what cannot be a repository: a path, most likely. */
export function addressOf(model: string, options: AddressOptions): ModelAddress | undefined {
  const address = parseAddress(model);
  if (address === undefined) return undefined;
  const { repo, revision = options.revision, quantisation = options.quantisation } = address;
  return { repo, revision, quantisation };
}
