/**
 * Whether bad clients leave something in a server: `node --expose-gc scripts/fuzz-memory.ts` (npm run fuzz:memory).
 *
 * Sends many requests and hellos that are all refused, in rounds, and compares the heap and the resident memory after
 * the first round, which warms up what is compiled once, with those at the end. Both must be within a tenth.
 */
import { frameTarget } from "../tests/fuzz/frame-target.ts";
import { openFuzzPort } from "../tests/fuzz/port.ts";
import { requestTarget } from "../tests/fuzz/request-target.ts";
import { createRawSender } from "../tests/fuzz/send-raw.ts";
import { createRandom } from "../tests/simulation/random.ts";
import type { FuzzTarget } from "../tests/support/fuzz.ts";
import { readOptions } from "./read-options.ts";

const { values } = readOptions("npm run fuzz:memory [-- [--requests 100000] [--hellos 10000] [--seed 1]]", {
  options: {
    requests: { type: "string", default: "100000" },
    hellos: { type: "string", default: "10000" },
    seed: { type: "string", default: "1" },
  },
});
const seed = Number(values.seed);
/** The share of the inputs that warms up. */
const WARM = 0.2;
/** Inputs under way at once. */
const AT_ONCE = 16;
const ROOM = 1.1;

const port = await openFuzzPort();
const sender = createRawSender(port.url);
const targets = [
  { target: requestTarget(port, sender, true) as FuzzTarget<unknown>, inputs: Number(values.requests) },
  { target: frameTarget(port, true) as FuzzTarget<unknown>, inputs: Number(values.hellos) },
];

for (const { target, inputs } of targets) await tryInputs(target, 0, inputs * WARM);
const before = await measure("after the warm-up");
for (const { target, inputs } of targets) await tryInputs(target, inputs * WARM, inputs * (1 + WARM));
const after = await measure("at the end");
await port.serveRun();

const isGrown = after.heapUsed > before.heapUsed * ROOM || after.rss > before.rss * ROOM;
if (isGrown) console.log("More than a tenth was kept.");
sender.close();
await port.close();
process.exit(isGrown ? 1 : 0);

async function tryInputs(target: FuzzTarget<unknown>, from: number, to: number): Promise<void> {
  let next = from;
  const work = async (): Promise<void> => {
    while (next < to) {
      const at = seed + next;
      next += 1;
      const input = target.draw(createRandom(at));
      try {
        await target.check(input);
      } catch (error) {
        console.error(`seed ${at}: ${(target.show?.(input) ?? "").slice(0, 1_000)}`);
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}

async function measure(when: string): Promise<NodeJS.MemoryUsage> {
  for (let round = 0; round < 5; round++) {
    await new Promise((resolve) => setTimeout(resolve, 200));
    globalThis.gc?.();
  }
  const memory = process.memoryUsage();
  console.log(`${when}: heap ${mib(memory.heapUsed)} MiB, resident ${mib(memory.rss)} MiB`);
  return memory;
}

function mib(bytes: number): string {
  return (bytes / 1024 ** 2).toFixed(1);
}
