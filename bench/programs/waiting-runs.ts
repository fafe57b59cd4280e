/** Starts runs that wait, in batches. */
import { connect, register } from "../connection.ts";
import { createWorkflows } from "../workflows.ts";
import { answerRequests, programArgument } from "./program.ts";

export type WaitingRunsArgument = { url: string };

/** From the contract. */
const STARTS_MAX = 500;
/** Enough requests that the server always has something to commit, and few enough that it refuses none. */
const REQUESTS_AT_ONCE = 4;

const { url } = programArgument() as WaitingRunsArgument;
const connection = connect(url);
const { runtime } = connection;
const { workflowId, version } = await register(connection, createWorkflows().waiting);

answerRequests({
  async fill({ count }: { count: number }): Promise<void> {
    let remaining = count;
    async function startBatches(): Promise<void> {
      while (remaining > 0) {
        const size = Math.min(remaining, STARTS_MAX);
        remaining -= size;
        const requests = Array.from({ length: size }, () => ({ workflowId, version }));
        const { results } = await runtime.startRuns({ requests });
        for (const { result } of results) {
          if (result.case !== "run") throw new Error(`a start was refused: ${result.value?.message}`);
        }
      }
    }
    await Promise.all(Array.from({ length: REQUESTS_AT_ONCE }, startBatches));
  },
});
