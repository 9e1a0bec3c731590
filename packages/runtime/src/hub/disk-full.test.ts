import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { NoSpaceError } from '@airllm/shard';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { canMount } from '../../../../.ci/mount';
import { bytesOf, hubOptions } from '../testing/hub-options';
import { HubServer, patternContent, Ration } from '../testing/hub-server';
import { temporaryFolder } from '../testing/temporary';
import { openPull, pullModel } from './pull-model';

const MIB = 2 ** 20;
const weights = patternContent(20 * MIB, 31);
let server: HubServer;
beforeAll(async () => {
  vi.stubEnv('no_proxy', '*');
  server = await HubServer.start();
  await server.addRepo('org/name', { 'config.json': '{}', 'model.safetensors': weights });
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await server.close();
});

// A drive of this size can only be had by mounting one.
describe.skipIf(!canMount())('on a small drive', () => {
  let drive: string;

  function mount(mib: number): () => void {
    drive = temporaryFolder();
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mib}m`, 'airllm-test', drive]);
    return () => execFileSync('umount', [drive]);
  }

  test('a download that cannot fit is refused before it begins', async () => {
    const unmount = mount(24);
    try {
      const options = hubOptions(server, { cacheDir: join(drive, 'hub') });
      const sent = server.bytesSent;
      const error = await pullModel('org/name', options).catch((thrown) => thrown);
      expect(error).toSatisfy(NoSpaceError.isInstance);
      expect(error.needed).toBeGreaterThan(20 * MIB);
      expect(error.available).toBeLessThanOrEqual(24 * MIB);
      expect(server.bytesSent).toBe(sent);
    } finally {
      unmount();
    }
  });

  test('a drive that fills up meanwhile is said, and the download goes on when there is room', async () => {
    const unmount = mount(44);
    try {
      const options = hubOptions(server, { cacheDir: join(drive, 'hub'), connections: 1 });
      const ration = new Ration();
      ration.give(2 * MIB);
      const rationed = server.fault({ route: 'cdn', fault: { kind: 'link', link: ration } });
      const running = await openPull('org/name', options);
      await running.written('model.safetensors', 0, MIB);
      mkdirSync(join(drive, 'other'));
      try {
        for (let i = 0; ; i++) writeFileSync(join(drive, 'other', String(i)), Buffer.alloc(MIB));
      } catch (error) {
        expect(error).toMatchObject({ code: 'ENOSPC' });
      }
      ration.give(Infinity);
      const error = await running.done.catch((thrown) => thrown);
      expect(error).toSatisfy(NoSpaceError.isInstance);
      expect(error.needed).toBeGreaterThan(0);
      rmSync(join(drive, 'other'), { recursive: true });
      rationed();
      const { dir, bytesReceived } = await pullModel('org/name', options);
      expect(bytesReceived).toBeLessThan(20 * MIB - MIB / 2);
      expect(readFileSync(join(dir, 'model.safetensors')).equals(await bytesOf(weights))).toBe(true);
      expect(readdirSync(join(dir, '..', '..', 'blobs')).filter((name) => name.includes('incomplete'))).toEqual([]);
    } finally {
      unmount();
    }
  });
});
