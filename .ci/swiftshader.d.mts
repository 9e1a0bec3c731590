/** The environment of a process that is to find SwiftShader as its GPU; undefined where it cannot be had. */
export function softwareGpu():
  | { readonly LD_LIBRARY_PATH: string; readonly VK_ICD_FILENAMES: string; readonly XDG_RUNTIME_DIR: string }
  | undefined;
