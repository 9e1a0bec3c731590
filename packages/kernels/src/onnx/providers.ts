/** What of onnxruntime can compute; which of them a platform's build has is for it to say. */
export const PROVIDERS = ['cpu', 'webgpu', 'cuda', 'dml', 'coreml'] as const;
export type Provider = (typeof PROVIDERS)[number];

/**
 * Providers with memory of their own where JavaScript can keep no tensors: weights stay there only as initialisers of
 * sessions, and everything else is the host's.
 */
export function keepsWeightsAlone(provider: Provider): provider is 'cuda' | 'dml' | 'coreml' {
  return provider !== 'cpu' && provider !== 'webgpu';
}
