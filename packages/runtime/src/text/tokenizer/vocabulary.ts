/** Tokens and their ids, both ways. */
export class Vocabulary {
  private readonly ids = new Map<string, number>();
  private readonly tokens: (string | undefined)[] = [];

  /** Adds a token; one of the same text or the same id is replaced in that direction. */
  add(token: string, id: number): void {
    this.ids.set(token, id);
    // Ids beyond the end would make a sparse array, which is slow for good.
    while (this.tokens.length < id) this.tokens.push(undefined);
    this.tokens[id] = token;
  }

  id(token: string): number | undefined {
    return this.ids.get(token);
  }

  token(id: number): string | undefined {
    return this.tokens[id];
  }

  /** One more than the highest id. */
  get size(): number {
    return this.tokens.length;
  }
}
