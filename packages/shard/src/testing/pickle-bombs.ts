/** Pickles of a given length whose values would be far larger than their bytes, or take long to make. */
export const PICKLE_BOMBS: readonly (readonly [string, (length: number) => Buffer])[] = [
  ['empty dicts on the stack', (length) => repeated(length, '}')],
  ['empty dicts in a list', (length) => appended(length, '}')],
  ['empty lists in a list', (length) => appended(length, ']')],
  ['dicts with an item', (length) => repeated(length, '}K\x01Ns0')],
  ['ordered dicts', (length) => repeated(length, 'h\x00)R0', 'ccollections\nOrderedDict\nq\x00')],
  ['global names', (length) => repeated(length, 'ccollections\nOrderedDict\n0')],
  ['empty strings', (length) => appended(length, '\x8c\x00')],
  [
    'one long string, then again',
    (length) => repeated(length, 'h\x010', `X${le32(2 ** 18)}${'x'.repeat(2 ** 18)}q\x01`),
  ],
  ['long strings', (length) => repeated(length, `X${le32(2 ** 18)}${'x'.repeat(2 ** 18)}0`)],
  [
    'long strings of three bytes a character',
    (length) => repeated(length, `X${le32(3 * 2 ** 16)}${'\xe2\x82\xac'.repeat(2 ** 16)}0`),
  ],
  ['bytes', (length) => appended(length, 'C\x00')],
  ['marks', (length) => repeated(length, '(')],
  ['marks and their removal', (length) => repeated(length, '(1')],
  ['memo entries by index', (length) => counted(length, (i) => `r${le32(i)}`, 'N')],
  ['memo entries in turn', (length) => repeated(length, '\x94', 'N')],
  ['wide memo indices', (length) => counted(length, (i) => `r${le32((i * 2654435761) >>> 0)}`, 'N')],
  ['tuples of tuples', (length) => repeated(length, '\x85', ')')],
  ['tuples that double', (length) => repeated(length, '2\x86', ')')],
  ['a list within itself', (length) => repeated(length, 'h\x00a', ']q\x00')],
  ['a list that grows by itself', (length) => repeated(length, '(h\x00h\x00h\x00h\x00e', ']q\x00')],
  ['doubles', (length) => appended(length, `G${'\x3f'.repeat(8)}`)],
  ['big integers', (length) => appended(length, `\x8a\x10${'\x7f'.repeat(16)}`)],
  ['decimal lines', (length) => appended(length, `I${'9'.repeat(38)}\n`)],
  ['one item set again and again', (length) => counted(length, (i) => `J${le32(i)}Ns`, '}')],
  ['duplicates', (length) => repeated(length, '2', ')')],
  ['frames and protocols', (length) => repeated(length, '\x80\x04')],
  [
    'storages',
    (length) =>
      counted(
        length,
        (i) => `(h\x00h\x01U\x07${`${i}`.padStart(7, '0')}U\x03cpuK\x01tQ0`,
        'X\x07\x00\x00\x00storageq\x000ctorch\nFloatStorage\nq\x010',
      ),
  ],
];

function repeated(length: number, part: string, start = ''): Buffer {
  return Buffer.from(start + part.repeat(Math.floor((length - start.length) / part.length)), 'latin1');
}

/** Values collected in one list, a thousand at a time as Python does. */
function appended(length: number, value: string): Buffer {
  return repeated(length, `(${value.repeat(1000)}e`, ']');
}

function counted(length: number, part: (index: number) => string, start: string): Buffer {
  const parts = [start];
  for (let i = 0, total = start.length; ; i++) {
    const next = part(i);
    total += next.length;
    if (total > length) return Buffer.from(parts.join(''), 'latin1');
    parts.push(next);
  }
}

function le32(value: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes.toString('latin1');
}
