import { TokenizerError } from '../errors';
import { isJsonObject, type JsonObject } from '../json-file';
import {
  CLOSE_BRACE,
  CLOSE_BRACKET,
  COLON,
  COMMA,
  JsonReader,
  JsonText,
  OPEN_BRACE,
  OPEN_BRACKET,
} from './json-reader';
import { MergeTable } from './merge-table';
import { isTokenId, Vocabulary } from './vocabulary';

/** The two long tables of a model, where they were read from the bytes of its file. */
export interface ModelTables {
  readonly vocab?: Vocabulary | undefined;
  readonly merges?: MergeTable | undefined;
}

/** A tokenizer.json with its two long tables apart: they are null in `json`. */
export interface TokenizerJson extends ModelTables {
  readonly json: JsonObject;
}

/**
 * Reads a tokenizer.json. As JavaScript values, vocabulary and merges take up to a quarter of a gigabyte for a moment,
 * which the process keeps; read from the bytes one by one, they take nothing. A file that is in any way unusual is left
 * to JSON.parse, and with it the last word on what is wrong.
 *
 * @throws TokenizerError where it is not a JSON object.
 */
export function readTokenizerJson(bytes: Uint8Array, file: string): TokenizerJson {
  try {
    return readInOneGo(bytes, file);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return { json: parse(utf8.decode(bytes), file) };
  }
}

const utf8 = new TextDecoder();

/** @throws SyntaxError where the tables are not as every known writer puts them. */
function readInOneGo(bytes: Uint8Array, file: string): TokenizerJson {
  const reader = new JsonReader(bytes);
  let vocab: Vocabulary | undefined;
  let merges: MergeTable | undefined;
  /** The file without its tables. */
  let rest = '';
  let done = 0;
  const table = <T>(read: () => T): T => {
    rest += `${utf8.decode(bytes.subarray(done, reader.at))}null`;
    const value = read();
    done = reader.at;
    return value;
  };
  const modelMember = (name: string) => {
    if (name === 'vocab' && reader.peek() === OPEN_BRACE) {
      vocab = table(() => readVocabulary(reader, bytes.length / BYTES_PER_TOKEN));
    } else if (name === 'merges' && reader.peek() === OPEN_BRACKET && vocab !== undefined) {
      const known = vocab;
      merges = table(() => readMerges(reader, known, bytes.length / BYTES_PER_MERGE));
    } else reader.skip();
  };
  reader.members((key) => {
    if (key === 'model' && reader.peek() === OPEN_BRACE) reader.members(modelMember);
    else reader.skip();
  });
  const json = parse(rest + utf8.decode(bytes.subarray(done)), file);
  if (!isUsual(json.model, { vocab, merges })) throw new SyntaxError('an unusual model');
  return { json, vocab, merges };
}

/** Whether the tables read are all that the model wants of them. */
function isUsual(model: unknown, { vocab, merges }: ModelTables): boolean {
  if (vocab === undefined) return true;
  // Of two models in a file the last counts.
  if (!isJsonObject(model) || model.vocab !== null) return false;
  if (merges === undefined) return model.type === 'WordLevel';
  // Only parts of words that begin with nothing are joined as they stand.
  return model.merges === null && (model.type ?? 'BPE') === 'BPE' && !model.continuing_subword_prefix;
}

// For the first size of tables: files have from 56 to 139 bytes for a token, and from 31 for a merge.
const BYTES_PER_TOKEN = 64;
const BYTES_PER_MERGE = 32;

function readVocabulary(reader: JsonReader, expected: number): Vocabulary {
  const vocab = new Vocabulary(expected);
  const { text } = reader;
  for (let more = reader.open(OPEN_BRACE, CLOSE_BRACE); more; more = reader.next(CLOSE_BRACE)) {
    reader.string();
    reader.expect(COLON);
    const id = reader.number();
    if (!isTokenId(id)) throw new SyntaxError('an impossible id');
    vocab.addBytes(text.bytes, text.start, text.end, id);
  }
  return vocab;
}

/** Merges as `"a b"` (old files) or `["a", "b"]`. */
function readMerges(reader: JsonReader, vocab: Vocabulary, expected: number): MergeTable {
  const merges = new MergeTable(vocab, 0, expected);
  const left = new JsonText();
  const right = new JsonText();
  for (let more = reader.open(OPEN_BRACKET, CLOSE_BRACKET); more; more = reader.next(CLOSE_BRACKET)) {
    if (reader.peek() === OPEN_BRACKET) {
      reader.expect(OPEN_BRACKET);
      reader.string(left);
      reader.expect(COMMA);
      reader.string(right);
      reader.expect(CLOSE_BRACKET);
    } else {
      reader.string(left);
      splitAtSpace(left, right);
    }
    const isKnown = merges.add(left.bytes, left.start, left.end, right.bytes, right.start, right.end);
    if (!isKnown) throw new SyntaxError('a merge into an unknown token');
  }
  return merges;
}

/** Leaves in `text` what stands before its only space, and puts into `behind` what follows. */
function splitAtSpace(text: JsonText, behind: JsonText): void {
  const { bytes, start, end } = text;
  const space = indexOfSpace(bytes, start, end);
  if (space === end || indexOfSpace(bytes, space + 1, end) < end) throw new SyntaxError('not two tokens');
  text.end = space;
  behind.bytes = bytes;
  behind.start = space + 1;
  behind.end = end;
}

function indexOfSpace(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end && bytes[at] !== 0x20) at++;
  return at;
}

function parse(text: string, file: string): JsonObject {
  try {
    const value: unknown = JSON.parse(text);
    if (isJsonObject(value)) return value;
  } catch (cause) {
    throw new TokenizerError({ file, reason: `not JSON (${(cause as Error).message}); download it again`, cause });
  }
  throw new TokenizerError({ file, reason: 'expected a JSON object' });
}
