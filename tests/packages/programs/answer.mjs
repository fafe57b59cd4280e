// The SDK as plain JavaScript, on the versions of Node that it supports: asks a person, answers, calls a tool, reads
// the result.
import { askUser, call, Client, complete, tool, toolCalls, Worker, workflow } from "@abstractruntime/sdk";
import { z } from "zod";

const shout = tool(
  { name: "shout", description: "Says it loudly.", input: z.object({ text: z.string() }) },
  async ({ text }) => text.toUpperCase(),
);
const greet = workflow(
  "greet",
  {
    vars: z.object({
      reply: z.object({ answer: z.enum(["Ada", "Bob"]) }).optional(),
      shouted: z.object({ results: z.array(z.object({ output: z.any() })) }).optional(),
    }),
    output: z.object({ greeting: z.string() }),
  },
  {
    ask: askUser({ prompt: "Who are you?", choices: ["Ada", "Bob"] }, { resultKey: "reply", next: ["shout"] }),
    shout: toolCalls(
      { calls: [call(shout, { text: "Hello, ${vars.reply.answer}!" })] },
      { resultKey: "shouted", next: ["done"] },
    ),
    done: complete({ greeting: "${vars.shouted.results[0].output}" }),
  },
);

const client = new Client();
const worker = new Worker({ tools: [shout] });
await worker.start();
const run = await client.run(greet, {});
await client.respond(run, "Ada");
process.stdout.write(JSON.stringify({ asked: run.waiting.prompt, ...(await client.result(run)) }));
await worker.stop();
client.close();
