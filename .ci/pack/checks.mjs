// One line per check, timed; a failed check does not end the run, so that one run shows everything that is wrong.
export function createChecks() {
  let passed = 0;
  let failed = 0;
  return {
    /** Returns what the check returned (true for nothing), or undefined when it threw. */
    async check(name, work) {
      const begun = performance.now();
      const seconds = () => `${((performance.now() - begun) / 1000).toFixed(1)} s`;
      try {
        const result = (await work()) ?? true;
        console.log(`ok   ${name} (${typeof result === 'string' ? `${result}, ` : ''}${seconds()})`);
        passed++;
        return result;
      } catch (error) {
        console.log(`FAIL ${name} (${seconds()})\n     ${error.message.trim().replaceAll('\n', '\n     ')}`);
        failed++;
        return undefined;
      }
    },
    /** Prints the sum and returns the exit code. */
    summary() {
      console.log(`packed packages: ${passed} passed, ${failed} failed`);
      return failed ? 1 : 0;
    },
  };
}
