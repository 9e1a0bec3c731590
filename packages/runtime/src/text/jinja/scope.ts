import type { Value } from './values';

/** Names visible at one place of a template: own ones, then the enclosing scopes'. */
export class Scope {
  private readonly names = new Map<string, Value>();

  constructor(private readonly parent?: Scope) {}

  get(name: string): Value | undefined {
    const own = this.names.get(name);
    return own === undefined ? this.parent?.get(name) : own;
  }

  set(name: string, value: Value): void {
    this.names.set(name, value);
  }
}
