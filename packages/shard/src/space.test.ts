import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { NoSpaceError } from './errors';
import { splitCheckpoint } from './split';
import { hashFolder, writeCheckpoint } from './testing/checkpoints';
import { temporaryFolder } from './testing/temporary';
import { verifyShards } from './verify';

const MIB = 1 << 20;
const base = mkdtempSync(path.join(os.tmpdir(), 'airllm-space-'));
const mounted: string[] = [];

/** Mounts a file system of 64 MiB; false where this user or machine cannot. */
function tryMount(kind: 'tmpfs' | 'ext4', dir: string): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false;
  const run = (command: string, ...args: string[]) => execFileSync(command, args, { stdio: 'ignore' });
  try {
    mkdirSync(dir);
    if (kind === 'tmpfs') run('mount', '-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', dir);
    else {
      const image = `${dir}.img`;
      writeFileSync(image, '');
      run('truncate', '-s', '64M', image);
      run('mkfs.ext4', '-q', '-F', image);
      run('mount', '-o', 'loop', image, dir);
    }
    mounted.push(dir);
    return true;
  } catch {
    return false;
  }
}

afterAll(() => {
  for (const dir of mounted) execFileSync('umount', [dir]);
  rmSync(base, { recursive: true, force: true });
});

describe.each(['tmpfs', 'ext4'] as const)('a small %s', (kind) => {
  const drive = path.join(base, kind);
  // Some 36 MB.
  const model = { layers: 8, hidden: 512, intermediate: 1024, vocabulary: 4000 };
  const converted = { ...model, normal: true, dtype: 'F32' } as const;

  describe.skipIf(!tryMount(kind, drive))('mounted (needs root)', () => {
    test('too small a drive is refused before anything is written', async () => {
      const source = await writeCheckpoint(path.join(temporaryFolder(), 'source'), { ...model, layers: 20 });
      const failure = await splitCheckpoint(source, path.join(drive, 'a', 'out')).catch((e) => e);
      if (!NoSpaceError.isInstance(failure)) throw failure;
      const { bavail, bsize } = await statfs(drive);
      // A few blocks are in use while it looks.
      expect(Math.abs(failure.available - bavail * bsize)).toBeLessThan(64 * 1024);
      expect(failure.needed).toBeGreaterThan(failure.available);
      expect(existsSync(path.join(drive, 'a'))).toBe(false);
    });

    test.each([
      ['copying', model, {}],
      ['converting', converted, { compress: '8bit' }],
    ] as const)(
      'a drive that fills up while %s: typed error, only finished files; it continues with room',
      async (name, kind, options) => {
        const source = await writeCheckpoint(path.join(temporaryFolder(), 'source'), kind);
        const out = path.join(drive, name);
        const filler = path.join(drive, 'filler');
        // Told first when the room has been checked and nothing is written yet.
        const onProgress = () => {
          if (!existsSync(filler)) fillBut(12 * MIB, filler);
        };
        const failure = await splitCheckpoint(source, out, { ...options, onProgress, concurrency: 2 }).catch((e) => e);
        if (!NoSpaceError.isInstance(failure)) throw failure;
        expect(failure.needed).toBeGreaterThan(failure.available);
        expect(readdirSync(path.join(out, '.split'))).toEqual(['journal.jsonl']);
        const finished = readdirSync(out).filter((name) => name !== '.split');
        expect(finished.length).toBeGreaterThan(0);
        expect(finished).not.toContain('manifest.json');

        rmSync(filler);
        const report = await splitCheckpoint(source, out, options);
        expect(report.filesWritten).toBe(
          report.manifest.files.length + report.manifest.extras.length - finished.length,
        );
        await verifyShards(out);
        const elsewhere = path.join(temporaryFolder(), 'out');
        await splitCheckpoint(source, elsewhere, options);
        expect(await hashFolder(out)).toEqual(await hashFolder(elsewhere));
        rmSync(out, { recursive: true });
      },
    );
  });
});

/** Takes all the room there is, but so many bytes. */
function fillBut(left: number, file: string): void {
  const { bavail, bsize } = statfsSync(path.dirname(file));
  writeFileSync(file, Buffer.alloc(bavail * bsize - left));
}
