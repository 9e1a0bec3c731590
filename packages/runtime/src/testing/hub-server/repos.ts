import { createHash } from 'node:crypto';
import { asContent, type ContentSource, contentHashes, type HubContent } from './content';

export interface ServedFile {
  readonly path: string;
  readonly content: HubContent;
  /** git's id of the blob (for an LFS file: of its pointer). */
  readonly oid: string;
  /** The LFS id; undefined for a file that git itself holds. */
  readonly sha256: string | undefined;
}

export interface RepoOptions {
  readonly private?: boolean;
  /** Readable with a token of `allowed` only; metadata is public. */
  readonly gated?: 'auto' | 'manual' | false;
  /** Tokens that may read a private or gated repository. */
  readonly allowed?: readonly string[];
  /** Which files are LFS. @defaultValue weights by their ending, and whatever is larger than 1 MiB */
  readonly lfs?: (path: string, size: number) => boolean;
}

const WEIGHTS = /\.(safetensors|bin|gguf|pth|pt|onnx|h5|msgpack)$/;

/** One model repository: commits that are never changed, and branches and tags that move. */
export class ServedRepo {
  readonly commits = new Map<string, Map<string, ServedFile>>();
  readonly refs = new Map<string, string>();

  constructor(
    readonly id: string,
    readonly options: RepoOptions,
  ) {}

  /** Makes a commit of these files and moves a branch to it. Its id follows from what it holds, so runs are alike. */
  async commit(files: Readonly<Record<string, ContentSource>>, branch = 'main'): Promise<string> {
    const tree = new Map<string, ServedFile>();
    const hash = createHash('sha1').update(this.id);
    for (const [path, source] of Object.entries(files)) {
      const file = await this.#served(path, source);
      tree.set(path, file);
      hash.update(`${path}\0${file.oid}\0`);
    }
    const id = hash.digest('hex');
    this.commits.set(id, tree);
    this.refs.set(branch, id);
    return id;
  }

  /** Puts other bytes below a path of an existing commit, which a real repository never does: a broken mirror. */
  async replace(commit: string, path: string, source: ContentSource): Promise<void> {
    this.commits.get(commit)?.set(path, await this.#served(path, source));
  }

  /** The commit that a branch, a tag or (the start of) a commit id names. */
  resolve(revision: string): string | undefined {
    const name = revision === 'HEAD' ? 'main' : revision;
    return this.refs.get(name) ?? [...this.commits.keys()].find((id) => name.length >= 7 && id.startsWith(name));
  }

  async #served(path: string, source: ContentSource): Promise<ServedFile> {
    const content = asContent(source);
    const { oid, sha256 } = await contentHashes(content);
    const lfs = this.options.lfs ?? ((name, size) => WEIGHTS.test(name) || size > 2 ** 20);
    return lfs(path, content.size)
      ? { path, content, oid: createHash('sha1').update(sha256).digest('hex'), sha256 }
      : { path, content, oid, sha256: undefined };
  }
}
