import { version as packageVersion } from '../package.json';

/** Of this package, as published. */
export const version: string = packageVersion;
