/** Runs a workflow again and again, each from its start to its known end: StartRun, then AwaitRun. */
import { machineMs } from "../clock.ts";
import { connect, register, runToEnd } from "../connection.ts";
import { createWorkflows, type WorkflowName } from "../workflows.ts";
import { answerRequests, programArgument } from "./program.ts";

export type OneRunArgument = { url: string; workflow: WorkflowName };
/** The time of each run, in milliseconds. */
export type OneRunReply = { latencies: number[] };

const { url, workflow } = programArgument() as OneRunArgument;
const connection = connect(url);
const { workflowId, version } = await register(connection, createWorkflows()[workflow]);
let lastRun = 0;

async function runOne(): Promise<void> {
  lastRun += 1;
  await runToEnd(connection, { runId: `run-${lastRun}`, workflowId, version, vars: { order: lastRun } });
}

answerRequests({
  async runFor({ ms }: { ms: number }): Promise<OneRunReply> {
    const latencies: number[] = [];
    const endMs = machineMs() + ms;
    for (let atMs = machineMs(); atMs < endMs;) {
      await runOne();
      const now = machineMs();
      latencies.push(now - atMs);
      atMs = now;
    }
    return { latencies };
  },
});
