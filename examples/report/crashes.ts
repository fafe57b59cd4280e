/** Kills the tool worker and the server in the middle of their work, each once, and starts them again. */
import type { ManagedProcess } from "../support/managed-process.ts";
import type { ServerProcess } from "../support/server-process.ts";
import type { Timeline } from "../support/timeline.ts";
import type { CallingStep } from "./calls.ts";

export type Kill = { victim: "worker" | "server"; time: Date };

export type Crashes = {
  readonly kills: readonly Kill[];
  /** Kills the next victim if the step's calls are in flight. */
  consider: (step: CallingStep, signal: AbortSignal) => Promise<void>;
};

/** Nodes of report.yaml that take long enough to be hit. Every run reaches the last of them. */
const SLOW_NODES: ReadonlySet<string> = new Set(["outline", "draft"]);
const LAST_NODE = "draft";
/** With this many calls, some are done and some are not when the first one ends: kill then. */
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
      `SIGKILL to the tool worker (pid ${pid}), ${workIn(step)}\nits jobs are offered again in 5 s, when their lease ends`,
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
      // In a later step, if there is one; else when the other worker is at work. A new server does not know about
      // workers that died before it started, and would wait for them much longer.
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
