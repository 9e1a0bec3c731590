import { expect, test } from 'vitest';
import * as face from './index';

test('the public face changes only on purpose', () => {
  expect(Object.keys(face).sort()).toEqual(['EXIT', 'main']);
});
