import { createRequire } from 'node:module';

/**
 * `require` as seen from this package, in all the ways it runs: ESM build, CJS build (where `import.meta` is empty), and
 * vitest from source. Not `__filename` first: under `node -e` and in the REPL it is a global that ESM sees too.
 */
export function requireHere(): NodeJS.Require {
  return createRequire(import.meta.url ?? __filename);
}
