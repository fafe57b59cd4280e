/** Options of a script on the command line. */
import { parseArgs, type ParseArgsConfig } from "node:util";

/** Reads the options. If they are wrong, prints one line with the usage and exits with 2. */
export function readOptions<T extends ParseArgsConfig>(usage: string, config: T): ReturnType<typeof parseArgs<T>> {
  try {
    return parseArgs(config);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code?.startsWith("ERR_PARSE_ARGS_") !== true) throw error;
    const problem = message.replaceAll(/\s+/g, " ").replace(/\.?$/, ".");
    console.error(`${problem} Usage: ${usage}`);
    process.exit(2);
  }
}
