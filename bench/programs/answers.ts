/** Starts runs that ask, and answers them one at a time: measures the time until a worker has the next node. */
import { machineMs } from "../clock.ts";
import { connect, register } from "../connection.ts";
import { createWorkflows, type WorkflowName } from "../workflows.ts";
import { answerRequests, programArgument } from "./program.ts";

export type AnswersArgument = { url: string };
/** Milliseconds from sending each answer until the worker has the job. */
export type AnswersReply = { latencies: number[] };

const { url } = programArgument() as AnswersArgument;
const connection = connect(url);
const { runtime } = connection;
let lastRun = 0;

/** `{ "answer": "yes" }` */
const YES = {
  kind: {
    case: "structValue",
    value: { fields: { answer: { kind: { case: "stringValue", value: "yes" } } } },
  },
} as const;

async function answerOne({ workflowId, version }: { workflowId: string; version: number }): Promise<number> {
  lastRun += 1;
  const runId = `run-${lastRun}`;
  await runtime.startRun({ runId, workflowId, version });
  const waitingRun = (await runtime.awaitRun({ runId })).run;
  const waitId = waitingRun?.waiting?.waitId;
  if (waitId === undefined) throw new Error(`run ${runId} does not ask`);
  const sentMs = machineMs();
  await runtime.resumeRun({ runId, waitId, payload: YES, requestId: `answer-${lastRun}` });
  const ended = (await runtime.awaitRun({ runId })).run;
  const output = ended?.output?.kind.case === "structValue" ? ended.output.kind.value.fields["arrivedMs"] : undefined;
  if (output?.kind.case !== "numberValue") throw new Error(`run ${runId} did not end with a time`);
  return output.kind.value - sentMs;
}

answerRequests({
  async answer({ workflow, count }: { workflow: WorkflowName; count: number }): Promise<AnswersReply> {
    const registered = await register(connection, createWorkflows()[workflow]);
    const latencies: number[] = [];
    for (let index = 0; index < count; index++) latencies.push(await answerOne(registered));
    return { latencies };
  },
});
