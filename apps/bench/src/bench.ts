/** A bench: reads its own arguments, prints its figures. */
export interface Bench {
  readonly usage: string;
  run(args: string[]): Promise<void>;
}
