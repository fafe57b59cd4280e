/** The builder that keeps a decision equal to the fold of its records. */
import assert from "node:assert/strict";
import { isOpen } from "./call.ts";
import type { ClosedBy, Command, Decision, NoticeKind } from "./decision.ts";
import type { Instant } from "./duration.ts";
import { apply } from "./fold/fold.ts";
import type { Json } from "./json/json.ts";
import { largeMembersOf } from "./json/large-members.ts";
import type { RecordBodies, RecordKind, StepRecordDraft } from "./records.ts";
import { callsOf, openWaitOf, type RunState } from "./run.ts";
import type { Wait } from "./wait.ts";

/** What a record is about, besides its place in the ledger. */
export type RecordFacts = {
  nodeId?: string;
  attempt?: number;
  actorId?: string;
  idempotencyKey?: string;
  given?: { text: string; value: Json };
};

/** Collects the records and commands of one decision. `run` is always the fold so far. */
export class DecisionBuilder {
  run: RunState;
  readonly now: Instant;
  readonly records: StepRecordDraft[] = [];
  readonly commands: Command[] = [];
  /** Whether somebody has said how the open wait ends. */
  #isWaitClosed = false;

  /** @param now the time of the decision; a record before the previous one gets the previous one's time */
  constructor(run: RunState, now: Instant) {
    this.run = run;
    this.now = now < run.updateTime ? run.updateTime : now;
  }

  /** The seq that the next record gets. */
  get nextSeq(): number {
    return this.run.seq + 1;
  }

  /** Adds a record. Its order among the commands does not matter. */
  record<K extends RecordKind>(kind: K, body: RecordBodies[K], facts: RecordFacts = {}): void {
    const draft = {
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
    } as StepRecordDraft;
    const before = this.run;
    this.run = apply(before, draft, facts.given?.value);
    this.records.push(draft);
    this.#assertFollowed(before);
    // Both are at hand here: what is known about large texts that stay the same is taken over for all that follows.
    if (this.run.vars !== before.vars) largeMembersOf(this.run.vars, before.vars);
  }

  /** Adds a record that opens a wait. */
  openWait(wait: Wait): void {
    this.commands.push({ type: "open_wait", wait, seq: this.nextSeq });
    this.notice("waiting");
  }

  /** Says how the open wait ends; the next record ends it. The run goes on, unless it ends or is cancelled. */
  closeWait(by: ClosedBy, answer: { requestId?: string; actorId?: string } = {}): void {
    const wait = openWaitOf(this.run);
    assert(wait !== undefined, "only an open wait is closed");
    const { requestId, actorId } = answer;
    this.commands.push({
      type: "close_wait",
      waitId: wait.wait_id,
      by,
      closeTime: this.now,
      ...(requestId === undefined ? {} : { requestId }),
      ...(actorId === undefined ? {} : { actorId }),
    });
    this.#isWaitClosed = true;
    if (by !== "cancel" && by !== "end") this.notice("resumed");
  }

  /** Gives up what is in flight; the next record ends it. */
  giveUp(by: "cancel" | "end"): void {
    if (openWaitOf(this.run) !== undefined) this.closeWait(by);
    if (callsOf(this.run).some(isOpen)) this.commands.push({ type: "cancel_jobs" });
  }

  /** Tells watchers what the next record does. */
  notice(kind: NoticeKind): void {
    this.commands.push({ type: "notice", kind, seq: this.nextSeq });
  }

  decision(): Decision {
    return { run: this.run, records: this.records, commands: this.commands };
  }

  /** A wait that is over needs a command: without one it stays in the inbox. */
  #assertFollowed(before: RunState): void {
    const wait = openWaitOf(before);
    if (wait === undefined || wait.wait_id === openWaitOf(this.run)?.wait_id) return;
    assert(this.#isWaitClosed, "whoever ends a wait says how");
    this.#isWaitClosed = false;
  }
}
