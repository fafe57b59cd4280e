/** Shared by the benchmark's programs: the argument, and answers to the process that started them
 *  (`program-process.ts`). */
import type { ProgramMessage } from "../program-process.ts";

type Request = { id: number; request: string; argument: object };

export function programArgument(): unknown {
  return JSON.parse(process.argv[2] ?? "{}");
}

/** Reports that the program is ready, and answers requests until the other process disconnects; then it ends. */
export function answerRequests(answers: Readonly<Record<string, (argument: never) => unknown>>): void {
  const send = (message: ProgramMessage): void => void process.send?.(message);
  const answer = async ({ id, request, argument }: Request): Promise<void> => {
    try {
      const found = answers[request];
      if (found === undefined) throw new Error(`unknown request ${request}`);
      send({ id, value: await found(argument as never) });
    } catch (error) {
      send({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    }
  };
  process.on("message", (message: Request) => {
    answer(message).catch((error: unknown) => {
      // The other process has ended.
      console.error(error);
    });
  });
  process.once("disconnect", () => process.exit());
  send({ id: 0 });
}
