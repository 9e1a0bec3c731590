import { EXIT_MEANINGS } from '../exit-codes';
import { definitions } from './wrap';

/** The table of exit codes, for every help. */
export function exitCodes(width: number): string {
  return definitions(
    EXIT_MEANINGS.map(([code, meaning]) => [String(code), meaning]),
    width,
  );
}
