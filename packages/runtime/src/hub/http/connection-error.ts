/** What the network did to a request; another attempt may go better. Never seen outside. */
export class ConnectionError extends Error {}

/** What went wrong on the way, in words. */
export function networkReason(error: unknown): string {
  const { code, hostname } = error as { code?: string; hostname?: string };
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return `the name ${hostname ?? 'of the host'} is not known`;
  if (code === 'ECONNREFUSED') return 'the connection was refused';
  if (code === 'ECONNRESET' || code === 'EPIPE') return 'the connection was cut';
  return error instanceof Error ? error.message : String(error);
}

/** Whether trying again can help: what the network or a busy server does, not a bug. */
export function isNetworkError(error: unknown): boolean {
  if (error instanceof ConnectionError) return true;
  const { code, syscall } = error as { code?: string; syscall?: string };
  if (typeof code !== 'string') return false;
  return (
    /^(ECONN|ENET|EHOST|ETIMEDOUT|EPIPE|EAI_AGAIN|ENOTFOUND|HPE_|ERR_SSL|ERR_TLS)/.test(code) || syscall === 'connect'
  );
}
