// Splits a model and verifies the result, telling a pipeline what happens as JSON lines on stdout. Only @airllm/shard.
//   splitter-pipeline <model> <out>
// Exits 0 when every byte is as written, 1 on an error (its last line says which), 2 on wrong usage, 130 on Ctrl+C.
import { type ShardProgress, splitCheckpoint, verifyShards } from '@airllm/shard';

const say = (event: string, facts: object) => process.stdout.write(`${JSON.stringify({ event, ...facts })}\n`);

const [model, out, ...rest] = process.argv.slice(2);
if (model === undefined || out === undefined || rest.length > 0) {
  process.stderr.write('usage: splitter-pipeline <model> <out>\n');
  process.exit(2);
}

const interrupted = new AbortController();
process.once('SIGINT', () => interrupted.abort(new Error('interrupted; run it again to continue')));
const options = { signal: interrupted.signal, onProgress: (progress: ShardProgress) => say('progress', progress) };

try {
  const { filesWritten, bytesWritten, notCopied, seconds, manifest } = await splitCheckpoint(model, out, options);
  say('split', { files: manifest.files.length, filesWritten, bytesWritten, notCopied, seconds });
  const { files, tensors, bytes, seconds: verifySeconds } = await verifyShards(out, options);
  say('verified', { files, tensors, bytes, seconds: verifySeconds });
} catch (error) {
  const { name, message, code } = error as Error & { code?: string };
  say('error', { name, code, message });
  process.exitCode = interrupted.signal.aborted ? 130 : 1;
}
