import { type OptionGroup, toggle } from './option';

const json = toggle({ help: 'Print one JSON object on stdout, and nothing else.' });
const quiet = toggle({ short: 'q', help: 'Say nothing on stderr but warnings and errors.' });

const reportOptions = { json };
/** For commands that only report. */
export const reportArgs: OptionGroup<typeof reportOptions> = { title: 'Output', options: reportOptions };

const workOptions = { json, quiet };
/** For commands that also say how they get on. */
export const workArgs: OptionGroup<typeof workOptions> = { title: 'Output', options: workOptions };

const globalOptions = {
  help: toggle({ short: 'h', help: 'Show this help.' }),
  version: toggle({ short: 'V', help: 'Show the version.' }),
  debug: toggle({ help: 'Show where in the program an error came from.' }),
};
/** Known to every command. */
export const globalArgs: OptionGroup<typeof globalOptions> = { title: 'Everywhere', options: globalOptions };
