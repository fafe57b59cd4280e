/** Reads the files that a user names. A FIFO would be waited for without end, a device never ends, and a file may be
 *  far larger than anything it could be meant for. */
import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from "node:fs";

/**
 * Reads a regular file.
 * @throws {Error} if it is something else, is larger than `bytesMax`, or cannot be read
 */
export function readRegularFile(path: string, bytesMax: number): Buffer {
  // Opening a FIFO without O_NONBLOCK waits for somebody who writes.
  const file = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    const stats = fstatSync(file);
    if (!stats.isFile()) throw new Error(`it is ${kindOf(stats)}, not a regular file`);
    if (stats.size > bytesMax) throw tooLarge(bytesMax);
    return readUpTo(file, bytesMax);
  } finally {
    closeSync(file);
  }
}

/** Reads to the end: the size says nothing of a file that grows, or that the kernel makes up. */
function readUpTo(file: number, bytesMax: number): Buffer {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for (;;) {
    const chunk = Buffer.alloc(64 * 1024);
    const count = readSync(file, chunk);
    if (count === 0) return Buffer.concat(chunks);
    bytes += count;
    if (bytes > bytesMax) throw tooLarge(bytesMax);
    chunks.push(chunk.subarray(0, count));
  }
}

function tooLarge(bytesMax: number): Error {
  return new Error(`it is larger than ${bytesMax} bytes`);
}

function kindOf(stats: Stats): string {
  if (stats.isDirectory()) return "a directory";
  if (stats.isFIFO()) return "a FIFO";
  if (stats.isSocket()) return "a socket";
  return "a device";
}
