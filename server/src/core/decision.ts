/** What `decide` gives, and the builder that keeps a decision equal to the fold of its records. */
import { apply } from "./apply.ts";
import type { Channel, EventDraft, EventQuery } from "./event.ts";
import type { Instant } from "./duration.ts";
import type { Json } from "./json.ts";
import { largeMembersOf } from "./large-members.ts";
import type { Names } from "./names.ts";
import type { RunState } from "./run.ts";
import type { Call, RecordBody, RecordKind, StepRecordDraft } from "./step-record.ts";

/** A piece of remote work to offer to workers. */
export type JobDraft = Omit<Call, "retry_time" | "outcome"> & {
  nodeId: string;
  /** The seq of the record that states the intent. */
  seq: number;
  /** What the worker is given; null for a handler, who is given the run's vars when the job is offered. */
  payload: Json;
  /** How long an attempt may take. */
  timeoutMs: number;
  /** How long the worker may say nothing about it; absent: for as long as it is connected. */
  heartbeatTimeoutMs?: number;
  /** How long the job may wait for a worker; absent: for ever. */
  queueTimeoutMs?: number;
  /** What the node's policy says; absent: the tool's own registration decides. */
  delivery?: Delivery;
  /** Jobs of one key keep their order; the queue serves its keys in turn. */
  fairnessKey: string;
  /** Leases that ended without a result before there was a job row: those of a handler. */
  losses?: number;
  /** When the attempt that comes next may begin, where one has failed before there was a job row. */
  dueTime?: Instant;
};

/** A call that has come to its end, or to the end of an attempt. */
export type CallSettlement = { idempotencyKey: string; retry?: { attempt: number; dueTime: Instant } };

/** What may be assumed about running a job twice. */
export type Delivery = "at_least_once" | "at_most_once";

/** What must be committed together with the records. */
export type Command =
  | { type: "emit"; event: EventDraft }
  | { type: "create_jobs"; jobs: JobDraft[] }
  /** What was told of these calls counts: their jobs are settled, or go into their next attempt. */
  | { type: "settle_jobs"; settlements: CallSettlement[] }
  /** The commit is refused if the channel has moved past `upTo` since it was looked at. */
  | { type: "expect_channel"; channel: Channel; upTo: number }
  /** The open wait was answered by a caller, who may send the same answer again. */
  | { type: "answered"; waitId: string; requestId?: string; actorId?: string };

export type Decision = { run: RunState; records: readonly StepRecordDraft[]; commands: readonly Command[] };

/** The decision needs to know what lies in a channel: look it up and decide again with the answer. */
export type LookUpNeeded = { lookUp: EventQuery };

/** The decision needs a step plan: have a worker run the handler of the run's node and decide again with what came of it. */
export type HandlerNeeded = { runHandler: HandlerRequest };

/** The names that expressions see, as a handler is given them. */
export type HandlerPayload = Omit<Names, "result">;

/** What a handler is run for. */
export type HandlerRequest = {
  tenantId: string;
  runId: string;
  workflowId: string;
  version: number;
  sessionId?: string;
  nodeId: string;
  /** The seq that the record of the handler's step gets. */
  seq: number;
  idempotencyKey: string;
  payload: HandlerPayload;
  timeoutMs: number;
  heartbeatTimeoutMs?: number;
  fairnessKey: string;
};

/** What a record is about, besides its place in the ledger. */
export type RecordFacts = {
  nodeId?: string;
  attempt?: number;
  actorId?: string;
  idempotencyKey?: string;
  given?: { text: string; value: Json };
};

/** Collects the records and commands of one decision; `run` is always the fold so far. */
export class DecisionBuilder {
  run: RunState;
  readonly now: Instant;
  readonly records: StepRecordDraft[] = [];
  readonly commands: Command[] = [];

  /** @param now the time of the decision; a record before the previous one gets the previous one's time */
  constructor(run: RunState, now: Instant) {
    this.run = run;
    this.now = now < run.updateTime ? run.updateTime : now;
  }

  /** The seq that the next record gets. */
  get nextSeq(): number {
    return this.run.seq + 1;
  }

  record(kind: RecordKind, body: RecordBody, facts: RecordFacts = {}): void {
    const draft: StepRecordDraft = {
      tenant_id: this.run.tenantId,
      run_id: this.run.runId,
      kind,
      seq: this.nextSeq,
      time: this.now,
      epoch: this.run.epoch,
      ...(facts.nodeId === undefined ? {} : { node_id: facts.nodeId }),
      ...(facts.attempt === undefined ? {} : { attempt: facts.attempt }),
      ...(facts.actorId === undefined ? {} : { actor_id: facts.actorId }),
      ...(facts.idempotencyKey === undefined ? {} : { idempotency_key: facts.idempotencyKey }),
      body,
      ...(facts.given === undefined ? {} : { given: facts.given.text }),
    };
    const { vars } = this.run;
    this.run = apply(this.run, draft, facts.given?.value);
    // Here both are at hand: what is known of large texts that stay the same is taken over for all that follows.
    if (this.run.vars !== vars) largeMembersOf(this.run.vars, vars);
    this.records.push(draft);
  }

  decision(): Decision {
    return { run: this.run, records: this.records, commands: this.commands };
  }
}
