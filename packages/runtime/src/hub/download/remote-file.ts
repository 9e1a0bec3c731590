import { HubError, shownUrl } from '../errors';
import { answeredRange } from '../http/answered-range';
import { Passing } from '../http/retry';
import type { HubResponse } from '../http/transport';
import type { ByteRange } from '../range-set';
import type { HubClient } from '../repo/client';
import type { HubFile, HubFileAddress } from '../types';

/** The server has another file below this address than the one that was begun. Never seen outside. */
export class Changed extends Error {
  constructor(readonly found: string) {
    super(`the file has changed to ${found}`);
  }
}

/** One file of the Hub as ranges of bytes, all of the same version. */
export class RemoteFile {
  /** Where the Hub redirected to. The address is signed and lives for an hour or so. */
  #location: string | undefined;
  /** What the host that serves the bytes calls this version; other than the Hub's, on a CDN. */
  #servedEtag: string | undefined;
  /** A server without ranges gives only the whole. */
  hasRanges = true;

  constructor(
    private readonly client: HubClient,
    private readonly address: HubFileAddress,
    private readonly file: HubFile,
  ) {}

  get url(): string {
    return this.client.fileUrl(this.address);
  }

  /** Opens a range. `from` is where the answer starts: before the range if the server has no ranges. */
  async open(range: ByteRange, signal: AbortSignal): Promise<{ response: HubResponse; from: number }> {
    const usedLocation = this.#location;
    const response = await this.#request(range, usedLocation, signal);
    const giveUp = (error: Error) => {
      response.body.destroy();
      return error;
    };
    const answered = answeredRange(response, range);
    if (answered.total !== undefined && answered.total !== this.file.size) {
      this.#forget();
      throw giveUp(new Changed(`${answered.total} bytes`));
    }
    // The Hub itself serves files that are not LFS, and names the version.
    if (this.#location === undefined) this.#checkVersion(response.headers, giveUp);
    const etag = response.headers.etag;
    if (this.#servedEtag !== undefined && etag !== undefined && etag !== this.#servedEtag) {
      // Only the Hub can say whether these are other bytes: the next attempt asks it.
      this.#forget();
      throw giveUp(new Passing({ url: shownUrl(response.url), reason: 'the version changed while it was read' }));
    }
    this.#servedEtag = etag;
    if (answered.whole && (range.from > 0 || range.to < this.file.size)) this.hasRanges = false;
    return { response, from: answered.from };
  }

  async #request(range: ByteRange, location: string | undefined, signal: AbortSignal): Promise<HubResponse> {
    const strong = this.#servedEtag?.startsWith('"') ? this.#servedEtag : undefined;
    try {
      return await this.client.openFile(this.address, {
        range,
        location,
        signal,
        headers: strong === undefined ? {} : { 'if-range': strong },
        onRedirect: (url, headers) => {
          this.#checkVersion(headers, (error) => error);
          this.#location = url;
        },
      });
    } catch (error) {
      const { status } = error as { status?: number };
      // An expired signature, or a host that is in trouble: the Hub may name another.
      if (error instanceof Passing || status === undefined) this.#forget();
      if (HubError.isInstance(error) && status === 416) throw new Changed('a shorter file');
      throw error;
    }
  }

  #checkVersion(headers: HubResponse['headers'], giveUp: (error: Error) => Error): void {
    const linked = headers['x-linked-etag'];
    const etag = versionOf(linked ?? headers.etag);
    // A mirror may have names of its own for plain files; then the checksum alone decides.
    const comparable = linked !== undefined || etag?.length === this.file.etag.length;
    if (etag !== undefined && comparable && etag !== this.file.etag) throw giveUp(new Changed(etag));
    const size = headers['x-linked-size'];
    if (size !== undefined && Number(size) !== this.file.size) throw giveUp(new Changed(`${size} bytes`));
    const commit = headers['x-repo-commit'];
    if (commit !== undefined && /^[0-9a-f]{40}$/.test(this.address.revision) && commit !== this.address.revision) {
      throw giveUp(new Changed(`commit ${commit}`));
    }
  }

  #forget(): void {
    this.#location = undefined;
    this.#servedEtag = undefined;
  }
}

/** `W/"abc"` and `"abc"` are abc. */
function versionOf(etag: string | undefined): string | undefined {
  return etag?.replace(/^W\//, '').replace(/^"|"$/g, '');
}
