/** The proxies that the environment names, read now; curl's rules. Small letters go first, as everywhere. */
export interface ProxySettings {
  readonly http: string | undefined;
  readonly https: string | undefined;
  readonly exceptions: string;
}

export function proxySettings(environment: NodeJS.ProcessEnv = process.env): ProxySettings {
  const read = (name: string) => environment[name.toLowerCase()] || environment[name.toUpperCase()] || undefined;
  return {
    http: read('http_proxy') ?? read('all_proxy'),
    https: read('https_proxy') ?? read('all_proxy'),
    exceptions: read('no_proxy') ?? '',
  };
}

/** The proxy to ask for an address, if any. */
export function proxyFor(address: URL, settings: ProxySettings): string | undefined {
  const proxy = address.protocol === 'https:' ? settings.https : settings.http;
  return proxy !== undefined && !isException(address, settings.exceptions) ? proxy : undefined;
}

/** `example.com` and `.example.com` mean the name and all below it; `example.com:8080` one port of it; `*` everything. */
function isException(address: URL, exceptions: string): boolean {
  const host = address.hostname.toLowerCase().replace(/^\[|\]$/g, '');
  const port = address.port || (address.protocol === 'https:' ? '443' : '80');
  return exceptions
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .some((entry) => {
      if (entry === '*') return true;
      const [, bare = entry, only] = /^(.*[^:]):(\d+)$/.exec(entry) ?? [];
      if (only !== undefined && only !== port) return false;
      const name = bare.replace(/^\[|\]$/g, '').replace(/^\*?\./, '');
      return host === name || host.endsWith(`.${name}`);
    });
}
