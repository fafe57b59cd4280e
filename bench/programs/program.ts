/** What the programs of the benchmark share: the argument, and answering the process that started them (`program-process.ts`). */
import type { ProgramMessage } from "../program-process.ts";

type Request = { id: number; request: string; argument: object };

export function programArgument(): unknown {
  return JSON.parse(process.argv[2] ?? "{}");
}

/** Says that the program is ready, and answers until the other process lets go of it, by which it ends. */
export function answerRequests(answers: Readonly<Record<string, (argument: never) => unknown>>): void {
  const send = (message: ProgramMessage): void => void process.send?.(message);
  const answer = async ({ id, request, argument }: Request): Promise<void> => {
    try {
      const found = answers[request];
      if (found === undefined) throw new Error(`it does not know ${request}`);
      send({ id, value: await found(argument as never) });
    } catch (error) {
      send({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    }
  };
  process.on("message", (message: Request) => {
    answer(message).catch((error: unknown) => {
      // The other process is gone.
      console.error(error);
    });
  });
  process.once("disconnect", () => process.exit());
  send({ id: 0 });
}
