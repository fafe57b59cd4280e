/** Jobs as core asks for them: remote work to offer to workers, and its outcome. */
import type { Call, Delivery } from "./call.ts";
import type { Instant } from "./duration.ts";
import type { Json } from "./json/json.ts";

/** A piece of remote work to offer to workers. */
export type JobDraft = Omit<Call, "retry_time" | "outcome"> & {
  nodeId: string;
  /** The seq of the record that states the intent. */
  seq: number;
  /** What the worker receives. Null for a handler: it receives the run's vars when the job is offered. */
  payload: Json;
  /** How long an attempt may take. */
  timeoutMs: number;
  /** How long the worker may send no heartbeat for it. If absent, as long as it is connected. */
  heartbeatTimeoutMs?: number;
  /** How long the job may wait for a worker. If absent, for ever. */
  queueTimeoutMs?: number;
  /** From the node's policy. If absent, the tool's own registration decides. */
  delivery?: Delivery;
  /** Jobs with the same key keep their order; the queue serves its keys in turn. */
  fairnessKey: string;
  /** Leases of a handler that ended without a result before there was a job row. */
  losses?: number;
  /** When the next attempt may begin, if one failed before there was a job row. */
  dueTime?: Instant;
};

/** What a job inherits from attempts made before it had a row. */
export type EarlierAttempts = Pick<JobDraft, "losses" | "attempt" | "dueTime">;

/** A call that has settled, or that goes into its next attempt. */
export type CallSettlement = { idempotencyKey: string; retry?: { attempt: number; dueTime: Instant } };
