/** What `decide` returns: the records of a transition and everything that follows from them, or a request for input. */
import type { Channel, EventDraft, EventQuery } from "./event.ts";
import type { Instant } from "./duration.ts";
import type { HandlerRequest } from "./handler-request.ts";
import type { CallSettlement, JobDraft } from "./job.ts";
import type { StepRecordDraft } from "./records.ts";
import type { RunState } from "./run.ts";
import type { Wait } from "./wait.ts";

/** The changes of a run that watchers of all runs are notified of. */
export type NoticeKind =
  | "started"
  | "waiting"
  | "resumed"
  | "paused"
  | "unpaused"
  | "completed"
  | "failed"
  | "cancelled";

/** How an open wait ended. */
export type ClosedBy = "answer" | "time" | "event" | "cancel" | "end";

/** What must be committed together with the records, or must follow the commit. The committer infers nothing from the
 *  records. */
export type Command =
  | { type: "open_wait"; wait: Wait; seq: number }
  /** @property requestId, actorId of the answer: the caller may send the same answer again */
  | { type: "close_wait"; waitId: string; by: ClosedBy; closeTime: Instant; requestId?: string; actorId?: string }
  | { type: "notice"; kind: NoticeKind; seq: number }
  | { type: "create_jobs"; jobs: JobDraft[] }
  /** The reports of these calls count: their jobs are settled, or go into their next attempt. */
  | { type: "settle_jobs"; settlements: CallSettlement[] }
  /** All jobs of the run that have not settled are given up. */
  | { type: "cancel_jobs" }
  /** The queue holds the run's jobs back, or hands them out again. */
  | { type: "hold_jobs"; held: boolean }
  | { type: "emit"; event: EventDraft }
  /** The run took an event of the channel. */
  | { type: "consume_event"; channel: Channel; eventId: string }
  /** The commit is refused if the channel has moved past `upTo` since it was looked up. */
  | { type: "expect_channel"; channel: Channel; upTo: number };

export type Decision = { run: RunState; records: readonly StepRecordDraft[]; commands: readonly Command[] };

/** The decision depends on the events of a channel: look them up and decide again with the result. */
export type LookUpNeeded = { lookUp: EventQuery };

/** The decision needs a step plan: have a worker run the node's handler and decide again with its outcome. */
export type HandlerNeeded = { runHandler: HandlerRequest };
