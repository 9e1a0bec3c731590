import { create, fromBinary, type Message, toBinary } from '@bufbuild/protobuf';
import type { Tensor } from 'onnxruntime-node';
import { ELEMENT_TYPES, type ElementType } from './model-builder';
import { modelSchema } from './onnx-schema';

/** ONNX's TensorProto.DataLocation. */
const EXTERNAL = 1;

interface Model extends Message {
  readonly graph: { input: { readonly name: string }[]; initializer: object[] };
}

/** A model, and the bytes it refers to, as session options take them. */
export interface ModelWithData {
  readonly bytes: Uint8Array;
  readonly externalData: readonly { readonly path: string; readonly data: Uint8Array }[];
}

/** Makes some inputs of a model constants of it, whose bytes lie outside: those of host tensors, which are not copied. */
export function withInitialisers(bytes: Uint8Array, constants: ReadonlyMap<string, Tensor>): ModelWithData {
  const schema = modelSchema();
  const model = fromBinary(schema, bytes) as unknown as Model;
  const { graph } = model;
  graph.input = graph.input.filter(({ name }) => !constants.has(name));
  const tensorSchema = schema.fields
    .find(({ localName }) => localName === 'graph')!
    .message!.fields.find(({ localName }) => localName === 'initializer')!.message!;
  const externalData = [...constants].map(([name, { data }]) => {
    const { buffer, byteOffset, byteLength } = data as Float32Array;
    return { path: name, data: new Uint8Array(buffer, byteOffset, byteLength) };
  });
  for (const [name, { type, dims }] of constants) {
    const fields = { name, dims: dims.map(BigInt), dataType: ELEMENT_TYPES[type as ElementType] };
    const externalData = [{ key: 'location', value: name }];
    graph.initializer.push(
      create(tensorSchema, { ...fields, externalData, dataLocation: EXTERNAL } as Record<string, unknown>),
    );
  }
  return { bytes: toBinary(schema, model), externalData };
}
