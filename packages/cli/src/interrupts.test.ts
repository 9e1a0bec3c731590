import { expect, test } from 'vitest';
import { StoppedError } from './errors';
import { Interrupts } from './interrupts';
import { FakeIo } from './testing/fake-io';

function setUp() {
  const io = new FakeIo();
  const controller = new AbortController();
  return { io, controller, interrupts: new Interrupts(io, controller) };
}

test('the first Ctrl-C asks, the second ends the program', () => {
  const { io, controller } = setUp();
  io.raise('SIGINT');
  expect(StoppedError.isInstance(controller.signal.reason) && controller.signal.reason.exitCode).toBe(130);
  expect(io.exits).toEqual([]);
  io.raise('SIGINT');
  expect(io.exits).toEqual([130]);
});

test('whoever took Ctrl-C gets it until it is handed back; SIGTERM is nobody’s', () => {
  const { io, controller, interrupts } = setUp();
  let taken = 0;
  const release = interrupts.take(() => taken++);
  io.raise('SIGINT');
  expect({ taken, aborted: controller.signal.aborted }).toEqual({ taken: 1, aborted: false });
  release();
  interrupts.take(() => taken++);
  io.raise('SIGTERM');
  expect({ taken, code: controller.signal.reason.exitCode }).toEqual({ taken: 1, code: 143 });
});

test('after its end it hears nothing', () => {
  const { io, interrupts } = setUp();
  interrupts.dispose();
  expect(io.isListening).toBe(false);
});
