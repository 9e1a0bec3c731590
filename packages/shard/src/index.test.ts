import { execFile } from 'node:child_process';
import { cpSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import * as face from './index';
import { writeCheckpoint } from './testing/checkpoints';
import { temporaryFolder } from './testing/temporary';
import { verifyShards } from './verify';

const packages = fileURLToPath(new URL('../..', import.meta.url));

test('the public face changes only on purpose', () => {
  expect(Object.keys(face).sort()).toEqual([
    'ConversionOverflowError',
    'NoSpaceError',
    'SourceChangedError',
    'TargetError',
    'TargetLock',
    'TargetLockedError',
    'UnsafePickleError',
    'VerifyError',
    'compressTensors',
    'convertedTensor',
    'findWeightFiles',
    'isConversion',
    'isStridedTensor',
    'openPickleCheckpoint',
    'openSource',
    'packedOnMeta',
    'placeTensor',
    'quantisedOnMeta',
    'readManifest',
    'readStrided',
    'splitCheckpoint',
    'stridedReads',
    'verifyShards',
    'whenUnlocked',
  ]);
});

// The native part of the loader is left out, as on a platform without one: plain memory, no direct I/O.
test.each(['module', 'commonjs'])(
  'built and installed under an awkward path, as %s, without native code',
  async (type) => {
    const dir = temporaryFolder();
    for (const name of ['loader', 'kernels', 'shard']) {
      const to = path.join(dir, 'node_modules', '@airllm', name);
      mkdirSync(to, { recursive: true });
      for (const part of ['dist', 'package.json'])
        cpSync(path.join(packages, name, part), path.join(to, part), { recursive: true });
    }
    await writeCheckpoint(path.join(dir, 'model'));
    const load = type === 'module' ? "await import('@airllm/shard')" : "require('@airllm/shard')";
    const program = `(async () => {
    const { splitCheckpoint, TargetError } = ${load};
    await splitCheckpoint('model', 'out');
    const error = await splitCheckpoint('model', 'model').catch((e) => e);
    console.log(TargetError.isInstance(error));
  })()`;
    const { stdout } = await promisify(execFile)(process.execPath, [`--input-type=${type}`, '-e', program], {
      cwd: dir,
    });
    expect(stdout).toBe('true\n');
    await verifyShards(path.join(dir, 'out'));
  },
);
