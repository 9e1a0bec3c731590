// What `npm start` and `npm test` run. Needs Node and npm, nothing else.
// Kept free of imports and new syntax, so that an old Node reaches the message below instead of a syntax error.
var wanted = 20;
var found = Number(process.versions.node.split('.')[0]);
if (found < wanted) {
  console.error(`This needs Node ${wanted} or newer, and this is Node ${process.versions.node} (${process.execPath}).`);
  process.exit(1);
}

var commands = {
  start: () => import('./start.mjs').then((module) => module.start(process.argv.slice(3))),
  test: () => import('./test.mjs').then((module) => module.test(process.argv.slice(3))),
  pnpm: () => import('./toolchain.mjs').then((module) => module.pnpmCommand(process.argv.slice(3))),
};
var command = commands[process.argv[2]];
if (!command) {
  console.error('usage: node .ci/setup.mjs start [arguments of the program] | test [turbo filters] | pnpm <arguments>');
  process.exit(2);
}
command().then(
  (code) => {
    process.exitCode = code;
  },
  (error) => {
    console.error(process.env.AIRLLM_VERBOSE ? error : `error: ${error.message}`);
    process.exitCode = 1;
  },
);
