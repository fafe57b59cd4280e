/** DBOS is a library: the program that starts runs also executes them, and learns of an end without asking the
 *  database. */
import { DBOS } from "@dbos-inc/dbos-sdk";
import { answerRequests, programArgument } from "../../programs/program.ts";
import { closedLoop } from "../closed-loop.ts";
import type { DbosArgument } from "../contenders/dbos.ts";
import { step, STEPS_PER_RUN } from "../ten-steps.ts";

const { url, runs, poolSize } = programArgument() as DbosArgument;

async function tenSteps(_input: { order: number }): Promise<{ count: number }> {
  let count = -1;
  for (let index = 0; index < STEPS_PER_RUN; index++) {
    count = await DBOS.runStep(() => step(index), { name: `step-${index + 1}` });
  }
  return { count };
}

const workflow = DBOS.registerWorkflow(tenSteps, { name: "tenSteps" });

DBOS.setConfig({
  name: "compare",
  systemDatabaseUrl: url,
  systemDatabasePoolSize: poolSize,
  logLevel: "warn",
  enableOTLP: false,
  tracingEnabled: false,
});
await DBOS.launch();

answerRequests({
  ...closedLoop(runs, async (order) => {
    const handle = await DBOS.startWorkflow(workflow, { workflowID: `run-${order}` })({ order });
    return (await handle.getResult()).count;
  }),
  shutdown: () => DBOS.shutdown(),
});
