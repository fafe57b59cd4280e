/**
 * The gate in the worker at which handlers of looping runs wait for the benchmark. So runs can be grown to a length,
 * and then take a given number of turns, all runs in parallel.
 */
import { machineMs } from "./clock.ts";

/** The turns of all runs of a group. */
export type GateReply = {
  seconds: number;
  /** Milliseconds from a handler's result to the worker running the run's next handler. */
  latencies: number[];
};

export type Gate = {
  /** Called by a handler of a run of the group. Resolves when it may take its turn; false if it must end the run. */
  pass(group: string, runId: string): Promise<boolean>;
  /** Lets each run of the group take some turns; resolves when `runs` of them have taken them all and wait here
   *  again. */
  advance(request: { group: string; runs: number; turns: number }): Promise<GateReply>;
  /** Ends the runs that wait here. */
  release(request: { group: string }): void;
};

type Group = {
  allowedTurns: number;
  isEnding: boolean;
  runs: Map<string, { turns: number; leftMs: number }>;
  waiting: Set<() => void>;
  latencies: number[];
  onWaiting: (() => void) | undefined;
};

export function createGate(): Gate {
  const groups = new Map<string, Group>();

  function groupOf(name: string): Group {
    const found = groups.get(name) ?? {
      allowedTurns: 0,
      isEnding: false,
      runs: new Map(),
      waiting: new Set(),
      latencies: [],
      onWaiting: undefined,
    };
    groups.set(name, found);
    return found;
  }

  function letOn(group: Group): void {
    for (const resume of group.waiting) resume();
    group.waiting.clear();
  }

  return {
    async pass(name, runId) {
      const group = groupOf(name);
      const run = group.runs.get(runId) ?? { turns: 0, leftMs: 0 };
      group.runs.set(runId, run);
      if (run.leftMs > 0) group.latencies.push(machineMs() - run.leftMs);
      if (run.turns >= group.allowedTurns && !group.isEnding) {
        await new Promise<void>((resolve) => {
          group.waiting.add(resolve);
          group.onWaiting?.();
        });
      }
      run.turns += 1;
      run.leftMs = machineMs();
      return !group.isEnding;
    },
    async advance({ group: name, runs, turns }) {
      const group = groupOf(name);
      const beganMs = machineMs();
      group.latencies = [];
      group.allowedTurns += turns;
      letOn(group);
      while (group.waiting.size < runs) await new Promise<void>((resolve) => (group.onWaiting = resolve));
      return { seconds: (machineMs() - beganMs) / 1_000, latencies: group.latencies };
    },
    release({ group: name }) {
      const group = groupOf(name);
      group.isEnding = true;
      letOn(group);
      groups.delete(name);
    },
  };
}
