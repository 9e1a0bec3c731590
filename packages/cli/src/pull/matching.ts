import { type HubOptions, openHub } from '@airllm/runtime';
import { UsageError } from '../errors';

interface Asked extends HubOptions {
  readonly revision?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Files of a repository whose names fit one of the patterns. Throws `UsageError` for a pattern that fits none. */
export async function matching(repo: string, patterns: readonly string[], options: Asked): Promise<string[]> {
  const hub = await openHub(options);
  try {
    const { signal } = options;
    const { commit } = await hub.modelInfo(repo, options.revision, { signal });
    const paths = (await hub.listFiles(repo, commit, { signal })).map(({ path }) => path);
    const found = patterns.flatMap((pattern) => {
      const fitting = paths.filter((path) => patternOf(pattern).test(path));
      if (fitting.length > 0) return fitting;
      const shown = paths.slice(0, 12).join(', ');
      throw new UsageError(
        `--include: no file of ${repo} fits "${pattern}"; there is ${shown}${paths.length > 12 ? ', …' : ''}`,
      );
    });
    return [...new Set(found)];
  } finally {
    await hub.close();
  }
}

/** As a shell has it, but that `*` stands for `/` too: `*.json` means those in folders as well, as in Python's cache. */
function patternOf(pattern: string): RegExp {
  const text = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${text}$`);
}
