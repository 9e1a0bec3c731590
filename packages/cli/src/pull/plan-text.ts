import type { PlannedPullFile, PullPlan } from '@airllm/runtime';
import { columns } from '../output/columns';
import { formatBytes } from '../output/units';

/** A line for each file, and what they come to. */
export function planText({ files, bytesTotal, bytesToDownload, bytesFree }: PullPlan): string {
  const rows = files.map((file) => [file.path, formatBytes(file.size), presence(file)]);
  const count = files.length === 1 ? '1 file' : `${files.length} files`;
  const here = bytesTotal - bytesToDownload;
  const known = here === 0 ? '' : `, ${formatBytes(here)} of it here`;
  const room = bytesToDownload > bytesFree ? `, ${formatBytes(bytesToDownload - bytesFree)} too little` : '';
  return `${columns(rows)}\n${count}, ${formatBytes(bytesTotal)}${known}: ${formatBytes(bytesToDownload)} to download, ${formatBytes(bytesFree)} free${room}\n`;
}

function presence({ size, bytesHere }: PlannedPullFile): string {
  if (bytesHere === 0) return '';
  return bytesHere === size ? 'here' : `${formatBytes(bytesHere)} here`;
}
