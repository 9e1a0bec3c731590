import { errnoName } from './system-errors';

/** Whether a process of this machine is running, whoever owns it. */
export function isProcessAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errnoName(error) === 'EPERM';
  }
}
