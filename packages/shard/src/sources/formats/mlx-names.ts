/** MLX keeps the experts of a layer in one tensor, under a module of its own: `mlp.switch_mlp.up_proj`. */
const SWITCH = /^(.*)\.switch_(?:mlp|glu)\.(\w+)$/;
/** gpt-oss, whose experts have their own names. */
const STACKED = /^(.*\.experts)\.(\w+_proj)$/;

/** What Mixtral and its relatives call them. */
const MIXTRAL: Readonly<Record<string, string>> = { gate_proj: 'w1', down_proj: 'w2', up_proj: 'w3' };

/** The names that transformers gives the experts of a stacked module; undefined where nothing says it is one. */
export function expertModule(
  module: string,
  config: Record<string, unknown> | null,
): ((e: number) => string) | undefined {
  const [, stack, own] = STACKED.exec(module) ?? [];
  if (stack !== undefined) return (e) => `${stack}.${e}.${own}`;
  const [, parent, projection] = SWITCH.exec(module) ?? [];
  if (parent === undefined) return undefined;
  const experts = parent.endsWith('.experts') ? parent : `${parent}.experts`;
  // Granite's experts are in a module of that name too.
  const isMixtral = parent.endsWith('.block_sparse_moe') && !String(config?.model_type).startsWith('granite');
  const name = (isMixtral && MIXTRAL[projection!]) || projection;
  return (e) => `${experts}.${e}.${name}`;
}

/** Whether a name is that of a stack whatever its shape is. */
export function isSwitch(module: string): boolean {
  return SWITCH.test(module);
}
