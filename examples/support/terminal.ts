/** Reads from the person at the terminal. */
import { createInterface, type Interface } from "node:readline/promises";

/** Reads lines from the terminal, and shows prompts on `output`. Close it. */
export function openTerminal(output: NodeJS.WriteStream): Interface {
  const lines = createInterface({ input: process.stdin, output });
  // readline receives Ctrl-C, so it is passed on to this process.
  lines.on("SIGINT", () => process.kill(process.pid, "SIGINT"));
  return lines;
}

/** One line, or undefined at the end of the input. */
export function readLine(lines: Interface, signal: AbortSignal): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const ended = () => resolve(undefined);
    lines.once("close", ended);
    lines
      .question("> ", { signal })
      .then((line) => resolve(line.trim()), reject)
      .finally(() => lines.off("close", ended));
  });
}
