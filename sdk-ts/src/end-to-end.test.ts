/** Client, workflow, tools and worker together, at a real server. */
import { afterEach, expect, test } from "vitest";
import { z } from "zod";
import { useServer } from "../../tests/conformance/server.ts";
import {
  ask,
  call,
  callTools,
  Client,
  completeRun,
  failRun,
  goTo,
  handler,
  type JobContext,
  RunFailedError,
  tool,
  ToolError,
  Worker,
  type WorkerOptions,
  workflow,
} from "./index.ts";

const server = useServer();
const opened: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).toReversed()) await close();
});

async function open(options: WorkerOptions): Promise<{ client: Client; worker: Worker }> {
  const client = new Client({ addresses: server.url });
  const worker = new Worker({ server: server.url, log: false, ...options });
  opened.push(
    () => client.close(),
    () => worker.stop({ graceMs: 0 }),
  );
  await worker.start();
  return { client, worker };
}

const price = tool(
  { name: "price", description: "What it costs.", input: z.object({ item: z.string() }), concurrency: 2 },
  ({ item }) => {
    if (item === "moon") throw new ToolError("NOT_FOR_SALE", "nobody sells the moon", { nonRetryable: true });
    return { cents: item.length * 100 };
  },
);

const results = z.object({ results: z.array(z.object({ output: z.object({ cents: z.number() }).nullable() })) });
const order = workflow(
  "order",
  {
    vars: z.object({
      items: z.array(z.string()),
      priced: results.optional(),
      total: z.number().optional(),
      reply: z.object({ answer: z.enum(["yes", "no"]) }).optional(),
    }),
    output: z.object({ total: z.number() }),
  },
  {
    price: handler({ next: ["sum"] }, ({ vars }) =>
      callTools({ calls: vars.items.map((item) => call(price, { item })) }, { resultKey: "priced", next: "sum" }),
    ),
    sum: handler({ next: ["confirm"] }, ({ vars }) => {
      const cents = vars.priced!.results.map(({ output }) => output?.cents);
      if (cents.includes(undefined)) return failRun("NO_PRICE", "something has no price");
      return goTo("confirm", { set: { total: cents.reduce<number>((sum, one) => sum + one!, 0) } });
    }),
    confirm: handler({ next: ["end"] }, ({ vars }) =>
      ask({ prompt: `Pay ${vars.total}?`, choices: ["yes", "no"] }, { resultKey: "reply", next: "end" }),
    ),
    end: handler({}, ({ vars }) => completeRun({ total: vars.reply!.answer === "yes" ? vars.total! : 0 })),
  },
);

test("handlers call tools, ask a person, and complete the run", async () => {
  const { client } = await open({ tools: [price], workflows: [order] });
  const run = await client.run(order, { items: ["tea", "bread"] });
  expect(run).toMatchObject({ status: "waiting", waiting: { prompt: "Pay 800?", choices: ["yes", "no"] } });
  await client.respond(run, "yes");
  expect(await client.result(run)).toEqual({ total: 800 });
  const kinds = [];
  for await (const record of client.ledger.list(run.runId)) kinds.push(record.kind);
  expect(kinds.filter((kind) => kind === "call.completed")).toHaveLength(2);
});

test("a call that fails is data, and the run fails as its handler says", async () => {
  const { client } = await open({ tools: [price], workflows: [order] });
  const failed = client.result(await client.start(order, { items: ["tea", "moon"] }));
  await expect(failed).rejects.toThrow(RunFailedError);
  await expect(failed).rejects.toMatchObject({ code: "NO_PRICE", nodeId: "sum" });
});

test("the worker is listed with what it serves", async () => {
  const { client, worker } = await open({ tools: [price], workflows: [order], name: "shop", actorId: "shop-1" });
  const shop = async () => {
    for await (const one of client.workers.list({ tool: "price" })) if (one.name === "shop") return one;
    return undefined;
  };
  expect(await shop()).toMatchObject({
    name: "shop",
    actorId: "shop-1",
    draining: false,
    tools: [{ name: "price", description: "What it costs.", concurrency: 2, delivery: "at-least-once" }],
    workflows: [{ workflowId: "order", versions: [] }],
  });
  await worker.stop({ graceMs: 0 });
  // Immediately after a goodbye; if the stream had been cut instead, the worker would stay listed for 5 s.
  await expect.poll(shop, { timeout: 60_000 }).toBeUndefined();
});

test("a tool hears that its run is cancelled", async () => {
  const called = Promise.withResolvers<JobContext>();
  const stuck = tool({ name: "stuck", input: z.object({}) }, (_args, context) => {
    called.resolve(context);
    return new Promise<never>(() => undefined);
  });
  const waiting = workflow(
    "waiting",
    { vars: z.object({}), output: z.unknown() },
    { call: { toolCalls: { calls: [call(stuck, {})] } } },
  );
  const { client } = await open({ tools: [stuck] });
  const run = await client.start(waiting, {});
  const { signal, runId } = await called.promise;
  expect(runId).toBe(run.runId);
  const aborted = new Promise((resolve) => signal.addEventListener("abort", () => resolve(signal.reason)));
  await client.cancel(run.runId);
  expect(await aborted).toMatchObject({ reason: "CANCELLED" });
});
