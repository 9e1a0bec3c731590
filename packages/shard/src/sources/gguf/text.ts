const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Throws what `error` makes where the bytes are not UTF-8. */
export function decodeText(bytes: Uint8Array, error: () => Error): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw error();
  }
}

/** A name of the file as one line that a terminal can show. */
export function quoted(name: string): string {
  return JSON.stringify(name.length > 200 ? `${name.slice(0, 200)}…` : name);
}
