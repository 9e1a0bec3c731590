#!/usr/bin/env node
import { main } from './main';

void main(process.argv.slice(2)).then((code) => {
  // A terminal that was read from would keep the process alive.
  process.exit(code);
});
