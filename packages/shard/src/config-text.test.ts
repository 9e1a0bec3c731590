import { expect, test } from 'vitest';
import { configText } from './config-text';

const PLAIN = '{\n  "a": 1e-05,\n  "quant": "quantization",\n  "torch_dtype": "bfloat16"\n}\n';
const OWN = ' "quantization_config": {"quant_method":"airllm","source":"gptq"}';

test('nothing to say changes nothing, not even spelling', () => {
  expect(configText(PLAIN, { dtype: null, source: null })).toBe(PLAIN);
});

test.each([
  ['first', '{\n  "quantization_config": {"bits": 4, "x": {"y": ["}"]}},\n  "a": 1e-05\n}\n', '{\n  "a": 1e-05\n}\n'],
  ['last', '{"a": 10000.0, "quantization": {"group_size": 64}}', '{"a": 10000.0}'],
  ['between', '{"a": NaN,"compression_config":{ "b": "\\"}" } ,"c":null}', '{"a": NaN,"c":null}'],
  ['all', '{"quantization": 3, "quantization_config": []}', '{}'],
  [
    'in the language model',
    '{"text_config": {"b": 1, "quantization_config": {}}, "quantization_config": {}, "other": {"quantization": 1}}',
    '{"text_config": {"b": 1}, "other": {"quantization": 1}}',
  ],
])('quantisation settings leave: %s', (_, config, plain) => {
  expect(configText(config, { dtype: null, source: null })).toBe(plain);
});

test('a method of our own takes their place, once', () => {
  const once = configText('{\n  "a": 1e-05,\n  "quantization_config": {"quant_method": "gptq"}\n}\n', {
    dtype: null,
    source: 'gptq',
  });
  expect(once).toBe(`{\n  "a": 1e-05,\n${OWN}\n}\n`);
  expect(configText(once, { dtype: null, source: 'gptq' })).toBe(once);
  expect(configText('{}', { dtype: null, source: 'gptq' })).toBe(`{\n${OWN}\n}`);
});

test('the dtype is named where one is named', () => {
  expect(configText(PLAIN, { dtype: 'float32', source: null })).toBe(PLAIN.replace('bfloat16', 'float32'));
});
