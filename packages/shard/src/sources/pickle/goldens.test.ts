import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { FormatError, openSafetensors } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { sharedFolder } from '../../testing/shared';
import { temporaryFolder } from '../../testing/temporary';
import { readTensor } from '../../testing/torch-read';
import { UnsafePickleError } from './errors';
import { openPickleCheckpoint } from './open-pickle-checkpoint';
import { isStridedTensor } from './pickle-tensor';

const golden = sharedFolder('golden-quant');

describe.skipIf(golden === undefined)('PyTorch checkpoints that torch.save wrote', () => {
  if (golden === undefined) return;
  const folders = readdirSync(golden).filter((name) => name.startsWith('bin-'));

  test('there are some', () => expect(folders.length).toBeGreaterThanOrEqual(3));

  test.each(folders)('%s: shared storages, offset, transposed and strided views, parameters', async (folder) => {
    const dir = path.join(golden, folder);
    const { tensors, config, files } = await openPickleCheckpoint(dir);
    expect(config?.model_type).toBe('llama');
    expect(files.every((file) => existsSync(file))).toBe(true);

    const expected = await openSafetensors(path.join(dir, 'expected.safetensors'));
    const compared = [...expected.tensors.values()].filter(({ name }) => name.startsWith('dequant/'));
    expect(compared.length).toBeGreaterThan(1);
    for (const known of compared) {
      const tensor = tensors.get(known.name.slice('dequant/'.length))!;
      expect([tensor.dtype, tensor.shape]).toEqual(['BF16', known.shape]);
      expect(Buffer.from(widened(await readTensor(tensor)).buffer)).toEqual(await readTensor(known));
    }

    const strided = [...tensors.values()].filter(isStridedTensor).map(({ name, strides }) => [name, strides]);
    expect(Object.fromEntries(strided)).toEqual({
      'model.layers.0.self_attn.q_proj.weight': [1, 128],
      'model.layers.0.mlp.up_proj.weight': [128, 1],
    });
    const [head, embed] = ['lm_head.weight', 'model.embed_tokens.weight'].map((name) => tensors.get(name));
    expect(head).toMatchObject({ extent: (embed as { extent?: object }).extent });
    expect(new Set([...tensors.values()].map(({ dtype }) => dtype))).toEqual(new Set(['BF16', 'F16', 'F32']));
  });
});

describe.skipIf(golden === undefined)('the published collection of bad pickles', () => {
  if (golden === undefined) return;
  const dir = path.join(golden, 'bad-pickle');
  const cases = JSON.parse(readFileSync(path.join(dir, 'expected.json'), 'utf8')) as Record<
    string,
    { reason: string; valid: boolean; canary?: string }
  >;
  /** What each of them would call, as the file spells it. */
  const asked: Record<string, string> = {
    'evil-os-system.bin': 'posix.system (os.system)',
    'evil-legacy.bin': 'posix.system (os.system)',
    'evil-in-state-dict.bin': 'posix.system (os.system)',
    'evil-eval.bin': '__builtin__.eval (builtins.eval)',
    'evil-exec.bin': '__builtin__.exec (builtins.exec)',
    'evil-getattr.bin': '__builtin__.getattr (builtins.getattr)',
    'evil-inst-opcode.bin': 'os.system',
    'evil-obj-opcode.bin': 'os.system',
    'evil-stack-global.bin': 'os.system',
    'evil-torch-attr.bin': 'torch._utils.os.system',
    'evil-call-tensor-class.bin': 'torch.load',
  };
  /** A word of the reason that the others are refused for. */
  const reasons: Record<string, RegExp> = {
    'view-past-end.bin': /reaches byte 80 of a storage of 64/,
    'view-huge-stride.bin': /reaches byte 9223372036854775816 of a storage of 64/,
    'view-negative-offset.bin': /negative number: offset -4/,
    'view-negative-stride.bin': /negative number: .*stride \[-4,1\]/,
    'storage-missing.bin': /does not hold storage "7"/,
    'storage-short.bin': /has 64 bytes, its entry "archive\/data\/0" 20/,
    'storage-path.bin': /hostname" is no number: a path is never followed/,
    'deflated.bin': /compressed \(zip method 8\)/,
    'truncated-zip.bin': /no directory at its end/,
    'truncated-pickle.bin': /ends before its STOP/,
    'no-data-pkl.bin': /without data\.pkl/,
    'tuple-bomb.bin': /holds a tuple, not a state dict/,
    'huge-length.bin': /claims 4611686018427387904 bytes/,
    'stack-underflow.bin': /empty stack/,
    'not-a-dict.bin': /holds a list, not a state dict/,
    'unknown-opcode.bin': /opcode 0xff/,
    'empty.bin': /is empty/,
  };

  test.each(Object.entries(cases))('%s', async (name, { valid, canary }) => {
    const file = path.join(dir, name);
    const opened = openPickleCheckpoint(file);
    if (valid) {
      const { tensors } = await opened;
      const values = new Float32Array(new Uint8Array(await readTensor(tensors.get('w')!)).buffer);
      const transposed = name === 'good-control-transposed.bin';
      const value = (i: number) => (transposed ? Math.floor(i / 4) + 4 * (i % 4) : i);
      expect([...values]).toEqual(Array.from({ length: 16 }, (_, i) => value(i)));
      return;
    }
    const error: unknown = await opened.catch((reason: unknown) => reason);
    if (asked[name] !== undefined) {
      expect(UnsafePickleError.isInstance(error), `${error}`).toBe(true);
      const { message, file: named, global } = error as UnsafePickleError;
      expect(message).toContain(asked[name]);
      expect([named, global]).toEqual([file, asked[name].split(' ')[0]]);
      expect(message).toMatch(/safetensors/);
    } else {
      expect(FormatError.isInstance(error), `${error}`).toBe(true);
      // A case unknown here is one that came later: then any refusal that names the file will do.
      expect((error as FormatError).message).toMatch(reasons[name] ?? /./);
      expect((error as FormatError).message).toMatch(/download it again|safetensors/);
      expect((error as FormatError).file).toBe(file);
    }
    for (const folder of [process.cwd(), dir, temporaryFolder()]) {
      expect(existsSync(path.join(folder, canary ?? 'PWNED-by-pickle'))).toBe(false);
    }
  });
});

/** bf16 as f32: the upper half of its bits. */
function widened(bytes: Uint8Array): Uint32Array {
  const halves = new Uint16Array(new Uint8Array(bytes).buffer);
  return Uint32Array.from(halves, (half) => half << 16);
}
