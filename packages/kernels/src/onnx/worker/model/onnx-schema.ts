/*! This file contains @bufbuild/protobuf, Copyright Buf Technologies, Inc., under Apache-2.0 and BSD-3-Clause. */
import { create, createFileRegistry, type DescMessage } from '@bufbuild/protobuf';
import {
  type FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from '@bufbuild/protobuf/wkt';

type Scalar = 'int32' | 'int64' | 'float' | 'string' | 'bytes';
/** Name, field number, type; a type that is no scalar is a message of this schema. `[]` marks a list. */
type Field = readonly [name: string, number: number, type: string];

/** What of ONNX's messages a graph without control flow needs, with the numbers of onnx.proto (IR version 10). */
const MESSAGES: Readonly<Record<string, readonly Field[]>> = {
  ModelProto: [
    ['ir_version', 1, 'int64'],
    ['producer_name', 2, 'string'],
    ['graph', 7, 'GraphProto'],
    ['opset_import', 8, 'OperatorSetIdProto[]'],
  ],
  OperatorSetIdProto: [
    ['domain', 1, 'string'],
    ['version', 2, 'int64'],
  ],
  GraphProto: [
    ['node', 1, 'NodeProto[]'],
    ['name', 2, 'string'],
    ['initializer', 5, 'TensorProto[]'],
    ['input', 11, 'ValueInfoProto[]'],
    ['output', 12, 'ValueInfoProto[]'],
  ],
  NodeProto: [
    ['input', 1, 'string[]'],
    ['output', 2, 'string[]'],
    ['name', 3, 'string'],
    ['op_type', 4, 'string'],
    ['attribute', 5, 'AttributeProto[]'],
    ['domain', 7, 'string'],
  ],
  AttributeProto: [
    ['name', 1, 'string'],
    ['f', 2, 'float'],
    ['i', 3, 'int64'],
    ['s', 4, 'bytes'],
    ['ints', 8, 'int64[]'],
    ['type', 20, 'int32'],
  ],
  TensorProto: [
    ['dims', 1, 'int64[]'],
    ['data_type', 2, 'int32'],
    ['name', 8, 'string'],
    ['raw_data', 9, 'bytes'],
    ['external_data', 13, 'StringStringEntryProto[]'],
    ['data_location', 14, 'int32'],
  ],
  StringStringEntryProto: [
    ['key', 1, 'string'],
    ['value', 2, 'string'],
  ],
  ValueInfoProto: [
    ['name', 1, 'string'],
    ['type', 2, 'TypeProto'],
  ],
  TypeProto: [['tensor_type', 1, 'TensorTypeProto']],
  TensorTypeProto: [
    ['elem_type', 1, 'int32'],
    ['shape', 2, 'TensorShapeProto'],
  ],
  TensorShapeProto: [['dim', 1, 'DimensionProto[]']],
  DimensionProto: [
    ['dim_value', 1, 'int64'],
    ['dim_param', 2, 'string'],
  ],
};

const SCALARS: Readonly<Record<Scalar, FieldDescriptorProto_Type>> = {
  int32: FieldDescriptorProto_Type.INT32,
  int64: FieldDescriptorProto_Type.INT64,
  float: FieldDescriptorProto_Type.FLOAT,
  string: FieldDescriptorProto_Type.STRING,
  bytes: FieldDescriptorProto_Type.BYTES,
};

const OPTIONAL = 1 satisfies FieldDescriptorProto_Label;
const REPEATED = 3 satisfies FieldDescriptorProto_Label;

let schema: DescMessage | undefined;

/** The description of `onnx.ModelProto`, by which a model is written. proto2, so that zeros are written too. */
export function modelSchema(): DescMessage {
  schema ??= describeModel();
  return schema;
}

function describeModel(): DescMessage {
  const file = create(FileDescriptorProtoSchema, {
    name: 'onnx.proto',
    package: 'onnx',
    syntax: 'proto2',
    messageType: Object.entries(MESSAGES).map(([name, fields]) => ({ name, field: fields.map(fieldDescriptor) })),
  });
  const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: [file] }));
  return registry.getMessage('onnx.ModelProto')!;
}

function fieldDescriptor([name, number, written]: Field) {
  const label = written.endsWith('[]') ? REPEATED : OPTIONAL;
  const type = written.replace('[]', '');
  const scalar = SCALARS[type as Scalar];
  return scalar !== undefined
    ? { name, number, label, type: scalar }
    : { name, number, label, type: FieldDescriptorProto_Type.MESSAGE, typeName: `.onnx.${type}` };
}
