import { commands } from '../commands';
import type { Style } from '../output/style';
import { exitCodes } from './exit-codes';
import { definitions, wrap } from './wrap';

/** What `airllm --help` says; it loads no command. */
export function overview(style: Style, width: number): string {
  const heading = (text: string) => `\n${style.bold(text)}\n`;
  const examples: readonly (readonly [string, string])[] = [
    ['airllm run ./Llama-3.2-3B-Instruct --memory 2GB "Why is the sky blue?"', 'one answer'],
    ['airllm run ./Llama-3.2-3B-Instruct --memory 2GB', 'a chat'],
    ['airllm estimate ./Llama-3.1-70B --memory 8GB --context 4096', 'would it fit, and how much would be read?'],
    ['airllm inspect ./Llama-3.1-70B', 'what is in this folder?'],
    ['airllm shard ./Llama-3.1-70B ./llama-70b-layers', 'one file per layer, with checksums'],
  ];
  return [
    `${wrap('Runs language models that are larger than memory: weights stream from the drive while the layer before them computes.', width).join('\n')}\n`,
    heading('Usage'),
    '  airllm <command> [options]\n',
    heading('Commands'),
    definitions(
      Object.entries(commands).map(([name, { summary }]) => [name, summary]),
      width,
    ),
    `\n${wrap('A <model> is a folder with config.json and weights, a .gguf file, or a repository id of the Hugging Face Hub, of which is downloaded what the local cache lacks and a command needs.', width).join('\n')}\n`,
    heading('Examples'),
    examples.map(([line, what]) => `  ${style.dim(`# ${what}`)}\n  ${line}\n`).join(''),
    heading('Options'),
    definitions(
      [
        ['-h, --help', 'This help; after a command, everything about it (airllm run --help).'],
        ['-V, --version', 'The version.'],
        ['--debug', 'After a command: show where in the program an error came from.'],
      ],
      width,
    ),
    heading('Exit codes'),
    exitCodes(width),
  ].join('');
}
