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

/** The providers that a platform's graphics cards can have, the one that keeps everything on them first. */
export function gpuProviders(platform: string = process.platform): Provider[] {
  if (platform === 'win32') return ['webgpu', 'dml'];
  return platform === 'darwin' ? ['webgpu', 'coreml'] : ['webgpu', 'cuda'];
}
