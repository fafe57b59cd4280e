/** The manager's own system: it decides on very large expenses with events, some of them before the run waits for
 *  them. */
import { setTimeout as sleep } from "node:timers/promises";

import { Scope } from "@abstractruntime/proto/event_pb";
import { type Wait, WaitReason } from "@abstractruntime/proto/wait_pb";

import type { RuntimeClient } from "../support/connection.ts";
import { toValue } from "../support/values.ts";
import type { Chance } from "./chance.ts";

/** An event that the server acknowledged. */
export type Decision = {
  runId: string;
  eventId: string;
  /** It was sent before the run waited for it. */
  early: boolean;
};

export type Manager = {
  /** By run. */
  readonly decisions: ReadonlyMap<string, Decision>;
  /** Shows the manager an open wait. Returns at once. */
  show: (wait: Wait) => void;
  /** Rejects with the first failure; never resolves. */
  readonly failed: Promise<never>;
};

/** Nodes of expense.yaml: the pause before the wait for the manager, and that wait. */
const COOL_OFF = "cool_off";
const AWAIT_MANAGER = "await_manager";

const EARLY = 0.5;
const APPROVED = 0.7;
const THINKING_MS_MAX = 1_500;

export function createManager(options: { runtime: RuntimeClient; chance: Chance; signal: AbortSignal }): Manager {
  const { runtime, chance, signal } = options;
  const decisions = new Map<string, Decision>();
  const taken = new Set<string>();
  const { promise: failed, reject } = Promise.withResolvers<never>();

  async function decide(runId: string, early: boolean): Promise<void> {
    if (!early) await sleep(THINKING_MS_MAX * chance("manager thinks", runId), undefined, { signal });
    const approved = chance("manager", runId) < APPROVED;
    const eventId = `decision-${runId}`;
    const event = {
      name: "expense.decided",
      scope: Scope.GLOBAL,
      key: runId,
      eventId,
      actorId: "manager",
      payload: toValue({ approved, reason: approved ? "the budget covers it" : "not in this quarter" }),
    };
    await runtime.emitEvent(event);
    // Sent twice, as a system does that is unsure whether it was received: the id identifies the duplicate.
    await runtime.emitEvent(event);
    decisions.set(runId, { runId, eventId, early });
  }

  return {
    decisions,
    failed,
    show({ runId, nodeId, reason }) {
      const early = nodeId === COOL_OFF && reason === WaitReason.UNTIL && chance("early", runId) < EARLY;
      const isWaiting = nodeId === AWAIT_MANAGER && reason === WaitReason.EVENT;
      if (taken.has(runId) || !(early || isWaiting)) return;
      taken.add(runId);
      decide(runId, early).catch(reject);
    },
  };
}
