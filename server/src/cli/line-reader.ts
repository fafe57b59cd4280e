/** Reads standard input. */
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";

/** A stream to read from; `isTTY` is true for a terminal. */
export type InputStream = Readable & { isTTY?: boolean | undefined };

/** Longest input that is read whole, to bound memory: an answer or a graph is far smaller. */
export const INPUT_BYTES_MAX = 16 * 1024 * 1024;

export type LineReader = {
  /** The next line, or undefined at the end of the input. */
  next: () => Promise<string | undefined>;
  close: () => void;
};

/** Reads lines one by one. Lines that arrive together are buffered. */
export function createLineReader(input: InputStream): LineReader {
  const lines = createInterface({ input, terminal: false, crlfDelay: Number.POSITIVE_INFINITY });
  const iterator = lines[Symbol.asyncIterator]();
  return {
    next: async () => {
      const { done, value } = await iterator.next();
      return done === true ? undefined : value;
    },
    close: () => lines.close(),
  };
}

/** Reads everything to the end of the input as text.
 *  @throws {Error} if it is longer than 16 MiB */
export async function readAll(input: InputStream): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of input) {
    const buffer = Buffer.from(chunk as Uint8Array | string);
    bytes += buffer.length;
    if (bytes > INPUT_BYTES_MAX) throw new Error(`the input is longer than ${INPUT_BYTES_MAX} bytes`);
    chunks.push(buffer);
  }
  return Buffer.concat(chunks).toString("utf8");
}
