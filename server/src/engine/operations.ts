/** The operations of the engine: each RPC is a function in a file of its own, bound here to the parts that it uses. */
import type { Admission } from "./admission.ts";
import type { Engine } from "./api.ts";
import type { Caller } from "./caller.ts";
import { withDeadline } from "./deadline.ts";
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
    /** Whether the database has owed an answer for this long. */
    isDatabaseSilent: (forMs: number) => boolean;
  },
): Engine {
  const { workers, settings, isDatabaseSilent } = parts;

  /** Does one operation with a deadline, which the caller carries. */
  function bounded<T>(caller: Caller, work: (caller: Caller) => Promise<T>, onLate?: (value: T) => void): Promise<T> {
    const options = { boundMs: settings.operationMs, callerMs: caller.timeoutMs, isDatabaseSilent };
    return withDeadline(options, (deadline) => work({ ...caller, deadline }), onLate);
  }

  return {
    registerWorkflow: (caller, definition) => bounded(caller, (bound) => registerWorkflow(parts, bound, definition)),
    getWorkflow: (caller, workflowId, version) =>
      bounded(caller, (bound) => getWorkflow(parts, bound, workflowId, version)),
    listWorkflows: (caller, request) => bounded(caller, (bound) => listWorkflows(parts, bound, request)),
    setCurrentVersion: (caller, workflowId, version) =>
      bounded(caller, (bound) => setCurrentVersion(parts, bound, workflowId, version)),
    setArchived: (caller, workflowId, archived) =>
      bounded(caller, (bound) => archiveWorkflow(parts, bound, workflowId, archived)),

    startRun: (caller, request) => bounded(caller, (bound) => startRun(parts, bound, request)),
    startRuns: (caller, starts) => bounded(caller, (bound) => startRuns(parts, bound, starts)),
    getRun: (caller, runId, view) => bounded(caller, (bound) => getRun(parts, bound, runId, view)),
    explainRun: (caller, runId) => bounded(caller, (bound) => explainRun(parts, bound, runId)),
    listRuns: (caller, request) => bounded(caller, (bound) => listRuns(parts, bound, request)),
    awaitRun: (caller, request) => bounded(caller, (bound) => awaitRun(parts, bound, request)),
    deleteRun: (caller, runId) => bounded(caller, (bound) => deleteRun(parts, bound, runId)),

    listWaits: (caller, request) => bounded(caller, (bound) => listWaits(parts, bound, request)),
    getWait: (caller, waitId) => bounded(caller, (bound) => getWait(parts, bound, waitId)),
    resumeRun: (caller, request) => bounded(caller, (bound) => resumeRun(parts, bound, request)),
    emitEvent: (caller, request) => bounded(caller, (bound) => emitEvent(parts, bound, request)),

    cancelRun: (caller, request) => bounded(caller, (bound) => controlRun(parts, bound, "cancel", request)),
    pauseRun: (caller, request) => bounded(caller, (bound) => controlRun(parts, bound, "pause", request)),
    unpauseRun: (caller, request) => bounded(caller, (bound) => controlRun(parts, bound, "unpause", request)),
    tickRun: (caller, request) => bounded(caller, (bound) => tickRun(parts, bound, request)),

    listStepRecords: (caller, request) => bounded(caller, (bound) => listStepRecords(parts, bound, request)),
    getStepRecord: (caller, runId, seq) => bounded(caller, (bound) => getStepRecord(parts, bound, runId, seq)),
    watchRun: (caller, request) => watchRun(parts, caller, request),
    watchRuns: (caller, request) => watchRuns(parts, caller, request),

    connectWorker: (caller, hello, link) =>
      // A worker whose stream has been refused by then is not connected.
      bounded(
        caller,
        (bound) => workers.connect(bound, hello, link),
        (connection) => connection.close(),
      ),
    listWorkers: (caller, request) => bounded(caller, (bound) => listWorkers(parts, bound, request)),

    ...parts.serving,
  };
}
