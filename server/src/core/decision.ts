/** What `decide` gives, and the builder that keeps a decision equal to the fold of its records. */
import { apply } from "./apply.ts";
import type { Channel, EventDraft, EventQuery } from "./event.ts";
import type { Instant } from "./duration.ts";
import type { Json } from "./json.ts";
import type { RunState } from "./run.ts";
import type { Call, RecordBody, RecordKind, StepRecordDraft } from "./step-record.ts";

/** A piece of remote work to offer to workers. */
export type JobDraft = Call & { nodeId: string; seq: number; payload: Json };

/** What must be committed together with the records. */
export type Command =
  | { type: "emit"; event: EventDraft }
  | { type: "create_jobs"; jobs: JobDraft[] }
  /** The commit is refused if the channel has moved past `upTo` since it was looked at. */
  | { type: "expect_channel"; channel: Channel; upTo: number }
  /** The open wait was answered by a caller, who may send the same answer again. */
  | { type: "answered"; waitId: string; requestId?: string; actorId?: string };

export type Decision = { run: RunState; records: readonly StepRecordDraft[]; commands: readonly Command[] };

/** The decision needs to know what lies in a channel: look it up and decide again with the answer. */
export type LookUpNeeded = { lookUp: EventQuery };

/** What a record is about, besides its place in the ledger. */
export type RecordFacts = {
  nodeId?: string;
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
      ...(facts.actorId === undefined ? {} : { actor_id: facts.actorId }),
      ...(facts.idempotencyKey === undefined ? {} : { idempotency_key: facts.idempotencyKey }),
      body,
      ...(facts.given === undefined ? {} : { given: facts.given.text }),
    };
    this.run = apply(this.run, draft, facts.given?.value);
    this.records.push(draft);
  }

  decision(): Decision {
    return { run: this.run, records: this.records, commands: this.commands };
  }
}
