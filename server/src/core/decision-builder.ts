/** Builds a decision step by step, so that its run is always the fold of its records. */
import assert from "node:assert/strict";
import { isOpen } from "./call.ts";
import type { ClosedBy, Command, Decision, NoticeKind } from "./decision.ts";
import { type Instant, maxInstant } from "./duration.ts";
import { apply } from "./fold/fold.ts";
import type { Json } from "./json/json.ts";
import { keepLargeMembers } from "./json/large-members.ts";
import type { RecordBodies, RecordKind, StepRecordDraft } from "./records.ts";
import { callsOf, openWaitOf, type RunState } from "./run.ts";
import type { Wait } from "./wait.ts";

/** The optional facts of a record's header, and its `given`. */
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
  /** The database's time: what is due is compared with it, and due times count from it. */
  readonly now: Instant;
  /** The time of the records: `now`, or the time of the previous record if the clock has gone back since. */
  readonly time: Instant;
  readonly records: StepRecordDraft[] = [];
  readonly commands: Command[] = [];
  /** Whether `closeWait` has been called for the open wait. */
  #isWaitClosed = false;

  /** @param now the database's time; it may be before the run's last record, because clocks are set back */
  constructor(run: RunState, now: Instant) {
    this.run = run;
    this.now = now;
    this.time = maxInstant(run.updateTime, now);
  }

  /** The seq that the next record gets. */
  get nextSeq(): number {
    return this.run.seq + 1;
  }

  /** Adds a record. What `openWait`, `closeWait`, `giveUp` and `notice` say about it is said before it is added. */
  record<K extends RecordKind>(kind: K, body: RecordBodies[K], facts: RecordFacts = {}): void {
    const draft = {
      tenant_id: this.run.tenantId,
      run_id: this.run.runId,
      kind,
      seq: this.nextSeq,
      time: this.time,
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
    keepLargeMembers(this.run.vars, before.vars);
  }

  /** Adds the commands for a wait that the next record opens. */
  openWait(wait: Wait): void {
    this.commands.push({ type: "open_wait", wait, seq: this.nextSeq });
    this.notice("waiting");
  }

  /** Adds the commands for the open wait, which the next record ends. The run continues unless it ends or is
   *  cancelled. */
  closeWait(by: ClosedBy, answer: { requestId?: string; actorId?: string } = {}): void {
    const wait = openWaitOf(this.run);
    assert(wait !== undefined, "there is no open wait to close");
    const { requestId, actorId } = answer;
    this.commands.push({
      type: "close_wait",
      waitId: wait.wait_id,
      by,
      closeTime: this.time,
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

  /** A wait that has ended needs a command: without one it would stay in the inbox. */
  #assertFollowed(before: RunState): void {
    const wait = openWaitOf(before);
    if (wait === undefined || wait.wait_id === openWaitOf(this.run)?.wait_id) return;
    assert(this.#isWaitClosed, "a record that ends a wait needs a close_wait command");
    this.#isWaitClosed = false;
  }
}
