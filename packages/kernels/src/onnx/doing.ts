import type { Part } from '../graph/graph';
import type { MemoryRef, Request } from './protocol';

/** In words what a request asks for; undefined for those that people need not hear of. */
export function doing(request: Request): string | undefined {
  switch (request.do) {
    case 'open':
      return 'opening the device';
    case 'run':
      return `running ${where(request.part)} for ${request.rows.rows?.count ?? 'the same'} rows`;
    case 'upload':
      return `uploading ${sum(request.weights)} bytes of weights of ${where(request.part)}`;
    case 'createState':
      return `making room for ${request.slots} positions of keys and values`;
    case 'readBlocks':
    case 'writeBlocks':
      return `${request.do === 'readBlocks' ? 'saving' : 'restoring'} ${32 * request.count} positions of keys and values`;
    case 'probe':
      return `trying for ${request.bytes} bytes`;
    case 'send':
      return `reading ${request.rows} rows of values back`;
    default:
      return undefined;
  }
}

function where({ from, to, slice, expert }: Part): string {
  const ops = to === from + 1 ? `op ${from}` : `ops ${from} to ${to - 1}`;
  const rows = slice === undefined ? '' : `, matrix rows ${slice.from} to ${slice.to - 1}`;
  return expert === undefined ? `${ops}${rows}` : `expert ${expert.id}`;
}

function sum(weights: readonly (MemoryRef | undefined)[]): number {
  return weights.reduce((bytes, weight) => bytes + (weight?.length ?? 0), 0);
}
