import { ConnectionError } from './connection-error';
import type { HubRequest, HubResponse, Transport } from './transport';

const MAX_REDIRECTS = 5;

/** Asks, and goes where it is redirected to; the token stays behind. */
export async function follow(
  transport: Transport,
  address: string,
  request: HubRequest,
  onRedirect?: (location: string, headers: HubResponse['headers']) => void,
): Promise<HubResponse> {
  let url = address;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const response = await transport.request(url, request);
    const next = response.headers.location;
    if (response.status < 300 || response.status >= 400 || response.status === 304 || next === undefined) {
      return response;
    }
    await response.body.discard();
    url = new URL(next, url).href;
    onRedirect?.(url, response.headers);
  }
  throw new ConnectionError('too many redirects');
}
