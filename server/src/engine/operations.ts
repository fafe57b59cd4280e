/** The operations of the engine: each RPC is a function in a file of its own, bound here to the parts that it uses. */
import type { Admission } from "./admission.ts";
import type { Engine } from "./api.ts";
import type { Essentials } from "./essentials.ts";
import type { ServerLease } from "./lanes/server-lease.ts";
import type { Neighbours } from "./neighbours.ts";
import type { NoticeHub } from "./notice-hub.ts";
import { archiveWorkflow } from "./operations/archive-workflow.ts";
import { awaitRun } from "./operations/await-run.ts";
import { controlRun } from "./operations/control-run.ts";
import { deleteRun } from "./operations/delete-run.ts";
import { emitEvent } from "./operations/emit-event.ts";
import { explainRun } from "./operations/explain-run.ts";
import { getRun } from "./operations/get-run.ts";
import { getStepRecord } from "./operations/get-step-record.ts";
import { getWait } from "./operations/get-wait.ts";
import { getWorkflow } from "./operations/get-workflow.ts";
import { listRuns } from "./operations/list-runs.ts";
import { listStepRecords } from "./operations/list-step-records.ts";
import { listWaits } from "./operations/list-waits.ts";
import { listWorkers } from "./operations/list-workers.ts";
import { listWorkflows } from "./operations/list-workflows.ts";
import { registerWorkflow } from "./operations/register-workflow.ts";
import { resumeRun } from "./operations/resume-run.ts";
import { setCurrentVersion } from "./operations/set-current-version.ts";
import { startRun } from "./operations/start-run.ts";
import { startRuns } from "./operations/start-runs.ts";
import { tickRun } from "./operations/tick-run.ts";
import { watchRun } from "./operations/watch-run.ts";
import { watchRuns } from "./operations/watch-runs.ts";
import type { Reads } from "./reads.ts";
import type { RunViewer } from "./run-view.ts";
import type { Serving } from "./serving.ts";
import type { ListenerWaker } from "./stimuli/wake-listeners.ts";
import type { TransitionParts } from "./transition/perform.ts";
import type { Workers } from "./workers/workers.ts";

export function createOperations(
  parts: Essentials & {
    lanes: ServerLease;
    reads: Reads;
    hub: NoticeHub;
    neighbours: Neighbours;
    transitions: TransitionParts;
    listeners: ListenerWaker;
    workers: Pick<Workers, "connect" | "jobReason" | "handlerWorker">;
    admission: Admission;
    viewOf: RunViewer;
    isStopping: () => boolean;
    serving: Serving;
  },
): Engine {
  const { workers } = parts;
  return {
    registerWorkflow: (caller, definition) => registerWorkflow(parts, caller, definition),
    getWorkflow: (caller, workflowId, version) => getWorkflow(parts, caller, workflowId, version),
    listWorkflows: (caller, request) => listWorkflows(parts, caller, request),
    setCurrentVersion: (caller, workflowId, version) => setCurrentVersion(parts, caller, workflowId, version),
    setArchived: (caller, workflowId, archived) => archiveWorkflow(parts, caller, workflowId, archived),

    startRun: (caller, request) => startRun(parts, caller, request),
    startRuns: (caller, starts) => startRuns(parts, caller, starts),
    getRun: (caller, runId, view) => getRun(parts, caller, runId, view),
    explainRun: (caller, runId) => explainRun(parts, caller, runId),
    listRuns: (caller, request) => listRuns(parts, caller, request),
    awaitRun: (caller, request) => awaitRun(parts, caller, request),
    deleteRun: (caller, runId) => deleteRun(parts, caller, runId),

    listWaits: (caller, request) => listWaits(parts, caller, request),
    getWait: (caller, waitId) => getWait(parts, caller, waitId),
    resumeRun: (caller, request) => resumeRun(parts, caller, request),
    emitEvent: (caller, request) => emitEvent(parts, caller, request),

    cancelRun: (caller, request) => controlRun(parts, caller, "cancel", request),
    pauseRun: (caller, request) => controlRun(parts, caller, "pause", request),
    unpauseRun: (caller, request) => controlRun(parts, caller, "unpause", request),
    tickRun: (caller, request) => tickRun(parts, caller, request),

    listStepRecords: (caller, request) => listStepRecords(parts, caller, request),
    getStepRecord: (caller, runId, seq) => getStepRecord(parts, caller, runId, seq),
    watchRun: (caller, request) => watchRun(parts, caller, request),
    watchRuns: (caller, request) => watchRuns(parts, caller, request),

    connectWorker: workers.connect,
    listWorkers: (caller, request) => listWorkers(parts, caller, request),

    ...parts.serving,
  };
}
