/** Kills the tool worker and the server in the middle of their work, each once, and starts them again. */
import type { ManagedProcess } from "../support/managed-process.ts";
import type { ServerProcess } from "../support/server-process.ts";
import type { Timeline } from "../support/timeline.ts";
import type { CallingStep } from "./calls.ts";

export type Kill = { victim: "worker" | "server"; time: Date };

export type Crashes = {
  readonly kills: readonly Kill[];
  /** Looks at what the ledger has just told of a step, and kills who is due if its calls are in flight. */
  consider: (step: CallingStep, signal: AbortSignal) => Promise<void>;
};

/** Nodes of report.yaml that take long enough to be hit. The last of them comes in every run. */
const SLOW_NODES: ReadonlySet<string> = new Set(["outline", "draft"]);
const LAST_NODE = "draft";
/** With so many calls, those that are done and those that are not can both be seen: kill when the first is done. */
const MANY_CALLS = 8;

export function createCrashes(options: { server: ServerProcess; worker: ManagedProcess; timeline: Timeline }): Crashes {
  const { server, worker, timeline } = options;
  const kills: Kill[] = [];
  /** The step in which the worker was killed. */
  let workerStep: CallingStep | undefined;
  let serverKilled = false;

  async function killWorker(step: CallingStep, signal: AbortSignal): Promise<void> {
    const pid = worker.kill();
    kills.push({ victim: "worker", time: new Date() });
    if (pid === 0) throw new Error("the tool worker was not running");
    timeline.mark(
      `SIGKILL to the tool worker (pid ${pid}), ${workIn(step)}\nwhat it held is offered again when its lease has ended, 5 s from now`,
      "crash",
    );
    const started = await worker.start(signal);
    timeline.mark(`another tool worker is connected (pid ${started.pid})`, "good");
  }

  async function killServer(step: CallingStep, signal: AbortSignal): Promise<void> {
    const { serverPid, databasePid } = server.kill();
    kills.push({ victim: "server", time: new Date() });
    if (serverPid === 0 || databasePid === 0) throw new Error("the server or its database was not running");
    timeline.mark(
      `SIGKILL to the server (pid ${serverPid}) and its database (pid ${databasePid}), ${workIn(step)}`,
      "crash",
    );
    const { readyMs, ...pids } = await server.start(signal);
    const back = `back after ${(readyMs / 1000).toFixed(1)} s`;
    timeline.mark(`${back}, on the same data (pids ${pids.serverPid} and ${pids.databasePid})`, "good");
  }

  return {
    kills,
    async consider(step, signal) {
      if (!isMidWork(step)) return;
      if (workerStep === undefined) {
        workerStep = step;
        await killWorker(step, signal);
        return;
      }
      // In another step, if there is one to come; else when the other worker is at work. A server that is started knows nothing
      // of workers that died before it, and would wait for them much longer.
      const isLast = step.nodeId === LAST_NODE && step.calls.some(({ ends }) => ends.length > 0);
      if (serverKilled || (step === workerStep && !isLast)) return;
      serverKilled = true;
      await killServer(step, signal);
    },
  };
}

function isMidWork({ nodeId, calls }: CallingStep): boolean {
  const done = calls.filter(({ ends }) => ends.length > 0).length;
  return SLOW_NODES.has(nodeId) && done < calls.length && (done > 0 || calls.length < MANY_CALLS);
}

function workIn({ nodeId, calls }: CallingStep): string {
  const done = calls.filter(({ ends }) => ends.length > 0).length;
  return `in ${nodeId}: ${calls.length - done} of ${calls.length} calls are in flight`;
}
