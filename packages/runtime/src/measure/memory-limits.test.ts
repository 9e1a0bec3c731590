import { expect, test } from 'vitest';
import { cgroupLimit, memoryLimits } from './memory-limits';

const TOTAL = 64e9;

function files(contents: Readonly<Record<string, string>>): (file: string) => string | null {
  return (file) => contents[file] ?? null;
}

test('version 2: a parent’s limit holds where the own one is higher', () => {
  const read = files({
    '/proc/self/cgroup': '0::/user.slice/app\n',
    '/sys/fs/cgroup/user.slice/app/memory.max': '8000000000\n',
    '/sys/fs/cgroup/user.slice/memory.max': '4000000000\n',
  });
  expect(cgroupLimit(TOTAL, read)).toBe(4e9);
});

test('version 1: the memory controller’s path, among others', () => {
  const read = files({
    '/proc/self/cgroup': '12:blkio:/other\n5:cpu,memory:/docker/1a\n1:name=systemd:/\n',
    '/sys/fs/cgroup/memory/docker/1a/memory.limit_in_bytes': '2000000000\n',
    '/sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712\n',
    '/sys/fs/cgroup/memory/other/memory.limit_in_bytes': '1\n',
  });
  expect(cgroupLimit(TOTAL, read)).toBe(2e9);
});

test('a container that sees its own cgroup as the root', () => {
  const read = files({ '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/memory.max': '3000000000\n' });
  expect(cgroupLimit(TOTAL, read)).toBe(3e9);
});

test('no cgroups, no limit, and a limit that is none', () => {
  expect(cgroupLimit(TOTAL, files({}))).toBeNull();
  expect(cgroupLimit(TOTAL, files({ '/proc/self/cgroup': '0::/a' }))).toBeNull();
  const unlimited = { '/proc/self/cgroup': '0::/a', '/sys/fs/cgroup/a/memory.max': 'max\n' };
  expect(cgroupLimit(TOTAL, files(unlimited))).toBeNull();
});

test('this process is free to use something, and not more than there is', () => {
  const { total, cgroup, constrained, available } = memoryLimits();
  expect(available).toBeGreaterThan(0);
  for (const limit of [cgroup ?? total, constrained ?? total, available]) expect(limit).toBeLessThanOrEqual(total);
});
