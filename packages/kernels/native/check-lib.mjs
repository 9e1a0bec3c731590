// prepack of every platform package: one without its library must never be published.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { TARGETS } from './targets.mjs';

const folder = process.cwd();
const target = TARGETS[path.basename(folder)];
if (target === undefined || !existsSync(path.join(folder, 'lib', target.file))) {
  console.error(`${folder} has no library to pack; build it with: node packages/kernels/native/build.mjs --all`);
  process.exit(1);
}
