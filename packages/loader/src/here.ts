import { createRequire } from 'node:module';

/**
 * `require` as seen from this very file, in all the ways it runs: ESM build, CJS build (where `import.meta` is empty),
 * and vitest from source. Paths, not URLs, so that folders with spaces and `#` work.
 */
export function requireHere(): NodeJS.Require {
  return createRequire(typeof __filename === 'string' ? __filename : import.meta.url);
}
