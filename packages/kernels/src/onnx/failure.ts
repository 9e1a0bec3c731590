import type { OnnxFailure } from './errors';

/** A buffer that a GPU had no memory for is an invalid one, and the first call that uses it says so, but not why. */
const INVALID_BUFFER = /\[?Invalid Buffer\b.* is invalid due to a previous error/;

/** Arrays and vectors are what is staged in the host's memory. */
const MEMORY = [
  INVALID_BUFFER,
  /exceeds the max buffer size limit/,
  /out[ _]of[ _](device[ _]|host[ _])?memory/i,
  /failed to (allocate|create .*buffer)/i,
  /bad_alloc/,
  /^(Array buffer allocation failed|Invalid typed array length)/,
];

const LOST = [
  /device (is|was|has been) lost/i,
  /lost device/i,
  /DEVICE_(LOST|REMOVED|HUNG)/,
  /\[Invalid (Device|Queue)\b/,
];

/** What kind of failure a message of onnxruntime, Dawn or JavaScript tells of. */
export function failureOf(message: string): OnnxFailure {
  if (LOST.some((pattern) => pattern.test(message))) return 'lost';
  return MEMORY.some((pattern) => pattern.test(message)) ? 'memory' : 'refused';
}

/** Where in onnxruntime's sources something failed is nobody's concern here, nor its stack. */
const SOURCE = /^\/onnxruntime_src\/.* was false\. /;

/** A message in few words. */
export function reasonOf(message: string): string {
  if (INVALID_BUFFER.test(message)) return 'there was no memory for a buffer, or it is larger than the device allows';
  return message.split('\n')[0]!.replace(SOURCE, '');
}
