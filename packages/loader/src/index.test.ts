import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, test } from 'vitest';
import { foreignAvailable } from './foreign';
import * as face from './index';
import { writeSafetensors } from './safetensors/safetensors-writer';
import { patternBytes, temporaryFolder } from './testing/folder';
import { dist, runNode } from './testing/run-node';

const dir = temporaryFolder();
const esm = JSON.stringify(pathToFileURL(join(dist, 'index.js')).href);
const cjs = JSON.stringify(join(dist, 'index.cjs'));

test('the public face changes only on purpose', () => {
  expect(Object.keys(face).sort()).toMatchInlineSnapshot(`
    [
      "AbsentFolder",
      "AirllmError",
      "AllocationError",
      "DTYPES",
      "DisposedError",
      "FormatError",
      "HostBuffer",
      "HostTensor",
      "LibraryError",
      "MetaTensor",
      "MissingFileError",
      "MissingTensorError",
      "OptionError",
      "ReadError",
      "SafetensorsWriter",
      "ScratchFile",
      "UnsupportedCheckpointError",
      "WriteError",
      "addressOf",
      "crc32",
      "decodeToFloat32",
      "dtypeBits",
      "elementCount",
      "errnoName",
      "foreignAvailable",
      "isDType",
      "isMarked",
      "isPadding",
      "isProcessAlive",
      "layoutHeader",
      "loadLibrary",
      "makeFolder",
      "mark",
      "openCheckpoint",
      "openCheckpointIndex",
      "openFailure",
      "openReader",
      "openSafetensors",
      "readAlignment",
      "readConfigFile",
      "readExactly",
      "readSafetensorsHeader",
      "readWeightIndex",
      "syncFolder",
      "tensorBytes",
      "viewMemory",
      "writeSafetensors",
    ]
  `);
});

describe('the built package', () => {
  test.skipIf(process.platform !== 'linux')('importing it loads no native code and starts nothing', async () => {
    const look = `const maps = require('node:fs').readFileSync('/proc/self/maps', 'utf8');
      console.log(maps.includes('koffi.node'), require('node:fs').readdirSync('/proc/self/task').length);`;
    const bare = await runNode(look, { type: 'commonjs' });
    const imported = await runNode(`require(${cjs}); ${look}`, { type: 'commonjs' });
    expect([imported.code, imported.stdout]).toEqual([0, bare.stdout]);
    expect(imported.stdout).toMatch(/^false /);
  });

  test('ESM and CJS copies in one process know each other', async () => {
    const script = `
      import { createRequire } from 'node:module';
      import * as esm from ${esm};
      const cjs = createRequire(import.meta.url)(${cjs});
      const file = ${JSON.stringify(join(dir, 'meet.safetensors'))};
      await esm.writeSafetensors(file, [{ name: 'a', dtype: 'U8', shape: [3], data: Uint8Array.of(7, 8, 9) }]);
      const { tensors } = await cjs.openCheckpoint(file);
      const tensor = tensors.get('a');
      const reader = await esm.openReader();
      const into = cjs.HostBuffer.allocate(8192);
      const host = await tensor.materialize({ reader, into });
      console.log([...host.bytes()].join(), esm.MetaTensor.isInstance(tensor), tensor instanceof esm.MetaTensor);
      into.dispose();
      try { into.bytes(); } catch (error) { console.log(esm.DisposedError.isInstance(error)); }
      await reader.close();`;
    const run = await runNode(script);
    expect(run).toMatchObject({ code: 0, stdout: '7,8,9 true false\ntrue\n' });
  });

  test('without the platform package everything but native memory works', async () => {
    // A copy out of reach of node_modules, in a folder that breaks careless URLs.
    const copy = join(dir, 'a b#c');
    mkdirSync(copy);
    cpSync(dist, join(copy, 'dist'), { recursive: true });
    cpSync(join(dist, '../package.json'), join(copy, 'package.json'));
    const file = join(dir, 'plain.safetensors');
    await writeSafetensors(file, [{ name: 'a', dtype: 'U8', shape: [9000], data: patternBytes(9000) }]);
    const script = (load: string) => `${load}
      const digest = (bytes) => crypto.createHash('sha256').update(bytes).digest('hex');
      (async () => {
        const { tensors } = await loader.openSafetensors(${JSON.stringify(file)});
        const host = await tensors.get('a').materialize();
        const reader = await loader.openReader({ requestBytes: 4096 });
        const again = await tensors.get('a').materialize({ reader });
        console.log(loader.foreignAvailable(), host.buffer.native, host.buffer.address, reader.kind);
        console.log(Buffer.compare(host.bytes(), again.bytes()), digest(host.bytes()));
        await loader.openReader({ kind: 'mmap' }).catch((error) => console.log(error.code));
        try { loader.loadLibrary(null); } catch (error) { console.log(error.code, loader.LibraryError.isInstance(error)); }
      })();`;
    const expected = [
      'false false 0n plain',
      `0 ${createHash('sha256').update(patternBytes(9000)).digest('hex')}`,
      'ERR_OPTION',
      'ERR_LIBRARY true\n',
    ].join('\n');
    writeFileSync(
      join(copy, 'main.mjs'),
      script(`import * as loader from './dist/index.js'; import crypto from 'node:crypto';`),
    );
    writeFileSync(
      join(copy, 'main.cjs'),
      script(`const loader = require('./dist/index.cjs'), crypto = require('node:crypto');`),
    );
    for (const main of ['main.mjs', 'main.cjs']) {
      const run = await runNode(`import(${JSON.stringify(pathToFileURL(join(copy, main)).href)})`);
      expect(run).toMatchObject({ code: 0, stderr: '', stdout: expected });
    }
  });

  test.skipIf(!foreignAvailable())(
    'in a folder with a space and # it finds its native code and its thread',
    async () => {
      const copy = join(dir, 'native a b#c');
      mkdirSync(join(copy, 'node_modules/@koromix'), { recursive: true });
      cpSync(dist, join(copy, 'dist'), { recursive: true });
      cpSync(join(dist, '../package.json'), join(copy, 'package.json'));
      const name = `@koromix/koffi-${process.platform}-${process.arch}`;
      cpSync(join(dist, '../node_modules', name), join(copy, 'node_modules', name), {
        recursive: true,
        dereference: true,
      });
      const script = `(async () => {
      const fs = require('node:fs');
      const file = require('node:path').join(__dirname, 'bytes');
      fs.writeFileSync(file, 'x'.repeat(5000) + 'found');
      const reader = await loader.openReader();
      const buffer = loader.HostBuffer.allocate(8192);
      const at = await reader.read({ file, offset: 5000, length: 5 }, buffer, 0);
      console.log(buffer.native, Buffer.from(buffer.bytes(at, 5)).toString());
    })();`;
      writeFileSync(join(copy, 'main.cjs'), `const loader = require('./dist/index.cjs'); ${script}`);
      const shim = `import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);
      const __dirname = import.meta.dirname ?? '.';`;
      writeFileSync(join(copy, 'main.mjs'), `import * as loader from './dist/index.js'; ${shim} ${script}`);
      for (const main of ['main.mjs', 'main.cjs']) {
        const run = await runNode(`import(${JSON.stringify(pathToFileURL(join(copy, main)).href)})`, { cwd: copy });
        expect(run).toMatchObject({ code: 0, stderr: '', stdout: 'true found\n' });
      }
    },
  );
});
