/** Only compiled, against the types of the installed packages. */
import { RunStatus } from "@abstractruntime/proto/run_pb";
import { askUser, complete, tool, Worker, workflow } from "@abstractruntime/sdk";
import type { Client } from "@abstractruntime/sdk/client";
import { createRuntime, type Runtime } from "@abstractruntime/server";
import { z } from "zod";

const greet = workflow(
  "greet",
  {
    vars: z.object({ name: z.string(), reply: z.object({ answer: z.enum(["yes", "no"]) }).optional() }),
    output: z.object({ greeting: z.string() }),
  },
  {
    ask: askUser({ prompt: "Greet?", choices: ["yes", "no"] }, { resultKey: "reply", next: ["done"] }),
    done: complete({ greeting: "Hello, ${vars.name}!" }),
  },
);
const double = tool(
  { name: "double", description: "Doubles.", input: z.object({ number: z.number() }) },
  async ({ number }) => number * 2,
);

export async function greetAda(): Promise<string> {
  const rt: Runtime = await createRuntime({ logLevel: "error" });
  const client: Client = rt.client;
  const worker = new Worker({ server: rt.url, tools: [double] });
  const run = await client.run(greet, { name: "Ada" });
  const { greeting } = await client.result(run);
  // @ts-expect-error -- the types are there, and not any: a name is no number.
  await client.run(greet, { name: 5 });
  // @ts-expect-error -- and no greeting is one.
  const length: number = greeting;
  await worker.stop();
  await rt.stop();
  return `${length} ${RunStatus.COMPLETED}`;
}
