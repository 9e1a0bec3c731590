/** Breaks a text at spaces so that no line is wider than `width`, unless a word is. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/ +/)) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}

/** Terms and their explanations side by side, or the explanation below a long term. */
export function definitions(
  rows: readonly (readonly [term: string, explanation: string])[],
  width: number,
  widest = 30,
): string {
  const column = Math.min(widest, Math.max(...rows.map(([term]) => term.length)));
  const indent = ' '.repeat(column + 4);
  return rows
    .map(([term, explanation]) => {
      const [first = '', ...rest] = wrap(explanation, Math.max(20, width - column - 4));
      const head = term.length > column ? `  ${term}\n${indent}${first}` : `  ${term.padEnd(column)}  ${first}`;
      return [head.trimEnd(), ...rest.map((line) => indent + line)].join('\n');
    })
    .join('\n')
    .concat('\n');
}
