import { statfs } from 'node:fs/promises';
import os from 'node:os';

/** One line that says where figures come from. */
export async function machine(dir: string): Promise<string> {
  const { bavail, bsize } = await statfs(dir);
  const cpu = os.cpus()[0]?.model.trim() || os.arch();
  const memory = (os.totalmem() / 2 ** 30).toFixed(0);
  const free = ((bavail * bsize) / 1e9).toFixed(0);
  return `${cpu}, ${os.availableParallelism()} threads, ${memory} GiB, ${os.platform()} ${os.release()}, Node ${process.versions.node}, ${free} GB free`;
}
