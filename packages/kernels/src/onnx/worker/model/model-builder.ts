import { create, toBinary } from '@bufbuild/protobuf';
import { modelSchema } from './onnx-schema';

/** Element types of ONNX tensors that are used here, with their numbers in TensorProto. */
export const ELEMENT_TYPES = { float32: 1, uint8: 2, int32: 6, int64: 7, bool: 9, float16: 10, bfloat16: 16 } as const;
export type ElementType = keyof typeof ELEMENT_TYPES;

/** A size, or the name of one that is known only when the model is run. */
export type Dim = number | string;

/** An attribute of a node: whole numbers are INT, `{ float }` FLOAT, lists INTS, text STRING. */
export type Attribute = number | string | readonly number[] | { readonly float: number };

const IR_VERSION = 10n;
/** The newest whose ops the providers have kernels for. */
const OPSET = 21n;
const MICROSOFT = 'com.microsoft';
/** ONNX's AttributeProto.AttributeType. */
const ATTRIBUTE = { FLOAT: 1, INT: 2, STRING: 3, INTS: 7 } as const;

/** Writes down one ONNX model. Values are names; every method that adds a node returns its output's. */
export class ModelBuilder {
  readonly #nodes: object[] = [];
  readonly #inputs: object[] = [];
  readonly #outputs: object[] = [];
  readonly #initializers = new Map<string, object>();
  #count = 0;

  input(name: string, type: ElementType, shape: readonly Dim[]): string {
    this.#inputs.push(valueInfo(name, type, shape));
    return name;
  }

  /** Gives a value a name by which it is fetched. */
  output(name: string, value: string, type: ElementType, shape: readonly Dim[]): void {
    this.#nodes.push({ opType: 'Identity', name: `out_${name}`, input: [value], output: [name] });
    this.#outputs.push(valueInfo(name, type, shape));
  }

  /** A node whose only output is a float32 output of the model. */
  outputNode(name: string, opType: string, inputs: readonly string[], shape: readonly Dim[]): void {
    this.#nodes.push({ opType, name: `out_${name}`, input: [...inputs], output: [name] });
    this.#outputs.push(valueInfo(name, 'float32', shape));
  }

  /** Lets a float32 value be fetched by its own name: what binds it is what its node writes to. */
  expose(value: string, shape: readonly Dim[]): void {
    this.#outputs.push(valueInfo(value, 'float32', shape));
  }

  /** A node with one output. onnxruntime's own ops are named with their domain, `com.microsoft.…`. */
  node(opType: string, inputs: readonly string[], attributes: Readonly<Record<string, Attribute>> = {}): string {
    return this.nodes(opType, inputs, 1, attributes)[0]!;
  }

  nodes(
    opType: string,
    inputs: readonly string[],
    outputs: number,
    attributes: Readonly<Record<string, Attribute>> = {},
  ): string[] {
    const at = this.#count++;
    const output = Array.from({ length: outputs }, (_, i) => `t${at}_${i}`);
    const [type, domain] = opType.startsWith(`${MICROSOFT}.`)
      ? [opType.slice(MICROSOFT.length + 1), MICROSOFT]
      : [opType, ''];
    this.#nodes.push({
      opType: type,
      domain,
      name: `${type}_${at}`,
      input: [...inputs],
      output,
      attribute: Object.entries(attributes).map(attribute),
    });
    return output;
  }

  /** A float32 constant: a scalar, or a vector. */
  float(value: number | readonly number[]): string {
    const values = typeof value === 'number' ? [value] : value;
    const raw = new Uint8Array(Float32Array.from(values).buffer);
    return this.#constant('float32', typeof value === 'number' ? [] : [values.length], raw);
  }

  /** An int64 constant vector, as shapes, axes and bounds are given. */
  ints(values: readonly number[]): string {
    const raw = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
    return this.#constant('int64', [values.length], raw);
  }

  /** The model's bytes. */
  build(): Uint8Array<ArrayBuffer> {
    const schema = modelSchema();
    const model = create(schema, {
      irVersion: IR_VERSION,
      producerName: '@airllm/kernels',
      opsetImport: [
        { domain: '', version: OPSET },
        { domain: MICROSOFT, version: 1n },
      ],
      graph: {
        name: 'part',
        node: this.#nodes,
        initializer: [...this.#initializers.values()],
        input: this.#inputs,
        output: this.#outputs,
      },
    } as Record<string, unknown>);
    return toBinary(schema, model);
  }

  #constant(type: ElementType, dims: readonly number[], raw: Uint8Array): string {
    const key = `${type}:${dims.join('x')}:${Buffer.from(raw).toString('base64')}`;
    const known = this.#initializers.get(key) as { name: string } | undefined;
    if (known !== undefined) return known.name;
    const name = `c${this.#initializers.size}`;
    this.#initializers.set(key, { name, dims: dims.map(BigInt), dataType: ELEMENT_TYPES[type], rawData: raw });
    return name;
  }
}

function valueInfo(name: string, type: ElementType, shape: readonly Dim[]): object {
  const dim = shape.map((size) => (typeof size === 'number' ? { dimValue: BigInt(size) } : { dimParam: size }));
  return { name, type: { tensorType: { elemType: ELEMENT_TYPES[type], shape: { dim } } } };
}

function attribute([name, value]: [string, Attribute]): object {
  if (typeof value === 'string') return { name, type: ATTRIBUTE.STRING, s: Buffer.from(value) };
  if (typeof value === 'number') return { name, type: ATTRIBUTE.INT, i: BigInt(value) };
  if ('float' in value) return { name, type: ATTRIBUTE.FLOAT, f: value.float };
  return { name, type: ATTRIBUTE.INTS, ints: value.map(BigInt) };
}
