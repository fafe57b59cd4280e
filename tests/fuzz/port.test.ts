/** The port under requests and frames that nobody would send: tests/support/fuzz.ts. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { fuzz, fuzzOptions, type FuzzTarget } from "../support/fuzz.ts";
import { frameTarget } from "./frame-target.ts";
import { type FuzzPort, openFuzzPort } from "./port.ts";
import { requestTarget } from "./request-target.ts";
import { createRawSender, type RawSender } from "./send-raw.ts";

/** Inputs of each target in `npm test`, some seconds of work. */
const INPUTS: Record<string, number> = { request: 2_000, frames: 400 };
/** How often a run beside has to be served. */
const INPUTS_PER_RUN = 100;

let port: FuzzPort;
let sender: RawSender;
beforeAll(async () => {
  port = await openFuzzPort();
  sender = createRawSender(port.url);
});
afterAll(async () => {
  sender.close();
  await port.close();
});

/** The target, with runs beside. */
function besideRuns<Input>(target: FuzzTarget<Input>): FuzzTarget<Input> {
  let inputs = 0;
  return {
    ...target,
    async check(input) {
      await target.check(input);
      inputs += 1;
      if (inputs % INPUTS_PER_RUN === 0) await port.serveRun();
    },
  };
}

for (const [name, targetOf] of Object.entries({
  request: () => requestTarget(port, sender) as FuzzTarget<unknown>,
  frames: () => frameTarget(port) as FuzzTarget<unknown>,
})) {
  const options = fuzzOptions(INPUTS[name]!);
  test(`fuzz ${name}`, { timeout: (options.seconds ?? 0) * 1_000 + 120_000 }, async () => {
    const { inputs } = await fuzz(besideRuns(targetOf()), options);
    expect(inputs).toBeGreaterThan(0);
    await port.serveRun();
    if (process.env["FUZZ_SEED"] !== undefined) console.log(`${name}: ${inputs} inputs from seed ${options.seed}`);
  });
}
