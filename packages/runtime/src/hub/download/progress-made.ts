/** Something that others wait for. */
export interface Progress {
  readonly made: Promise<void>;
  readonly tell: () => void;
}

export function progress(): Progress {
  let tell!: () => void;
  const made = new Promise<void>((resolve) => {
    tell = resolve;
  });
  return { made, tell };
}
