import { expect, it } from 'vitest';
import { readmeExamples } from '../../../.ci/readme';

it('prints what the README says', async () => {
  const [example] = readmeExamples(new URL('../README.md', import.meta.url));
  const { stdout } = await example!.run();
  expect(stdout.trim()).toBe('1.000 1.000 1.000 0.000');
});
