// Vitest's own worker, named first among the arguments, and word to vitest.config.mjs when it has been loaded.
await import(process.argv[2]);
process.send('loaded');
