import { makeDict } from './filters';
import { str } from './print';
import { strftime } from './strftime';
import { needInt, needText } from './strings';
import { type Callable, Namespace, TemplateFault, TemplateRaised, type Value } from './values';

// The sandbox that transformers renders in refuses longer ranges.
const MAX_RANGE = 100_000;

/** The names every chat template may use: Jinja's, and those transformers adds. */
export function templateGlobals(now: () => Date): Map<string, Value> {
  return new Map<string, Value>([
    ['true', true],
    ['True', true],
    ['false', false],
    ['False', false],
    ['none', null],
    ['None', null],
    ['range', range],
    ['dict', (args, kwargs) => makeDict(args, kwargs)],
    ['namespace', namespace],
    ['cycler', cycler],
    ['joiner', joiner],
    [
      'raise_exception',
      ([message]) => {
        throw new TemplateRaised(str(message ?? null));
      },
    ],
    ['strftime_now', ([format]) => strftime(now(), needText(format ?? null, 'format'))],
  ]);
}

const range: Callable = (args) => {
  const numbers = args.map((arg) => needInt(arg, 'range() argument'));
  const [start, stop] = numbers.length > 1 ? [numbers[0]!, numbers[1]!] : [0, numbers[0] ?? 0];
  const step = numbers[2] ?? 1;
  if (step === 0) throw new TemplateFault('range() arg 3 must not be zero');
  const length = Math.max(0, Math.ceil((stop - start) / step));
  if (length > MAX_RANGE) throw new TemplateFault(`Range too big. The sandbox blocks ranges larger than ${MAX_RANGE}.`);
  return Array.from({ length }, (_, i) => start + i * step);
};

const namespace: Callable = (args, kwargs) => {
  const space = new Namespace();
  for (const [key, value] of makeDict(args, kwargs)) space.fields.set(str(key), value);
  return space;
};

const cycler: Callable = (items) => {
  const space = new Namespace();
  let position = 0;
  const current = () => items[position] ?? null;
  space.fields.set('current', current());
  space.fields.set('next', () => {
    const value = current();
    position = (position + 1) % items.length;
    space.fields.set('current', current());
    return value;
  });
  space.fields.set('reset', () => {
    position = 0;
    space.fields.set('current', current());
    return null;
  });
  return space;
};

const joiner: Callable = ([separator]) => {
  let used = false;
  return () => {
    const value = used ? str(separator ?? ', ') : '';
    used = true;
    return value;
  };
};
