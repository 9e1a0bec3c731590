/**
 * Processor time that something takes in this process, and what it gives. Where other programs run the clock tells
 * little, and even this is a multiple of what a machine at rest needs: hold it to what only another algorithm would take.
 */
export async function cpuSeconds<T>(
  work: () => T | Promise<T>,
): Promise<{ readonly result: T; readonly seconds: number }> {
  const before = process.cpuUsage();
  const result = await work();
  const { user, system } = process.cpuUsage(before);
  return { result, seconds: (user + system) / 1e6 };
}
