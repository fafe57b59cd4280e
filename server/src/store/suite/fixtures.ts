/** What the suite commits: small real ledgers (sealed, chained, folded by core), and a server that writes them. */
import type { StepSequel } from "../../core/call.ts";
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { apply } from "../../core/fold/fold.ts";
import { addMs, type Instant } from "../../core/duration.ts";
import type { Channel, ChannelEvent, EventDraft, Scope } from "../../core/event.ts";
import { waitIdOf } from "../../core/identifiers.ts";
import type { Json, JsonObject } from "../../core/json/json.ts";
import { encodeHeader, NO_PREVIOUS_HASH, partDigest, recordHash, SALT_BYTES } from "../../core/ledger-format.ts";
import type { SealedRecord } from "../../core/ledger-format.ts";
import { isActive, wakeTimeOf, openWaitOf } from "../../core/run.ts";
import type { RunState } from "../../core/run.ts";
import type { RecordBody, RecordKind, StepRecordDraft, AnyRecord } from "../../core/records.ts";
import type { Wait } from "../../core/wait.ts";
import type { WorkflowDefinition } from "../../core/graph/definition.ts";
import { rowSeqOf, stayBehind } from "../row-behind.ts";
import { RUN_FORMAT } from "../run-format.ts";
import { partsWriteOf } from "../run-parts.ts";
import type { BatchItem, ConflictCause, Delivery, ItemOutcome, Transition } from "../contract/batch.ts";
import type { NewJob } from "../contract/jobs.ts";
import type { Lane } from "../contract/lanes.ts";
import type { MailDraft } from "../contract/mail.ts";
import type { RunKey, StoredRun } from "../contract/runs.ts";
import type { Store } from "../contract/store.ts";
import type { WaitClosing } from "../contract/waits.ts";
import { defined } from "../../core/defined.ts";

/** The suite's first instant. It has microseconds, which a store must not cut off. */
export const TIME_ZERO = "2026-01-02T03:04:05.678901Z" as Instant;

/** The instant `ms` milliseconds after TIME_ZERO. */
export function timeAt(ms: number): Instant {
  return addMs(TIME_ZERO, ms);
}

/** A SHA-256 in lower-case hex, where any digest will do. */
export function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** The parts of a transition that a test sets itself; the rest follows from the records. */
export type TransitionFacts = Partial<Omit<Transition, "tenantId" | "runId" | "expectedSeq" | "after" | "records">> & {
  time?: Instant;
  ownerLane?: number;
  /** Leaves the run's row behind its ledger, as the engine does with steps of active runs. */
  isLeft?: boolean;
  /** Overrides of the stored state, for fields that no record of this suite sets. */
  state?: Partial<RunState>;
};

export type RunFacts = RunKey & {
  time?: Instant;
  vars?: JsonObject;
  workflowId?: string;
  version?: number;
  sessionId?: string;
  actorId?: string;
  parentRunId?: string;
  rootRunId?: string;
  labels?: Record<string, string>;
  paused?: boolean;
  channels?: Partial<Record<Scope, number>>;
};

/** The first transition of a run. */
export function startOf(run: RunFacts, facts: TransitionFacts = {}): Transition {
  const draft: StepRecordDraft = {
    tenant_id: run.tenantId,
    run_id: run.runId,
    kind: "run.started",
    seq: 1,
    time: run.time ?? TIME_ZERO,
    epoch: 0,
    ...(run.actorId === undefined ? {} : { actor_id: run.actorId }),
    workflow: digestOf(run.workflowId ?? "flow"),
    body: {
      start: {
        workflow_id: run.workflowId ?? "flow",
        version: run.version ?? 1,
        entry_node: "first",
        ...defined({ session_id: run.sessionId, parent_run_id: run.parentRunId }),
        root_run_id: run.rootRunId ?? run.runId,
        labels: run.labels ?? {},
        limits: {},
        channels: { run: 0, session: 0, workflow: 0, global: 0, ...run.channels },
      },
      patch: [{ op: "set", path: "", of: "given" }],
      ...(run.paused === true ? { paused: true } : {}),
    },
    given: JSON.stringify(run.vars ?? {}),
  };
  return transitionOf(undefined, draft, facts);
}

/** The next transition of a run: one record after the stored state. @param given what an actor sent, as JSON text */
export function stepOf(
  before: StoredRun,
  kind: RecordKind,
  body: RecordBody,
  facts: TransitionFacts = {},
  given?: string,
): Transition {
  const draft: AnyRecord = {
    tenant_id: before.state.tenantId,
    run_id: before.state.runId,
    kind,
    seq: before.state.seq + 1,
    time: facts.time ?? addMs(before.state.updateTime, 1),
    epoch: before.state.epoch,
    node_id: before.state.node,
    body,
    ...(given === undefined ? {} : { given }),
  };
  return transitionOf(before, draft as StepRecordDraft, facts);
}

/** A step that sets one of the run's vars and continues. */
export function assignOf(before: StoredRun, name: string, value: Json, facts: TransitionFacts = {}): Transition {
  return stepOf(
    before,
    "step.completed",
    { status: "completed", patch: [{ op: "set", path: `/${name}`, value }] },
    facts,
  );
}

/** The fields of a wait that a test sets; the rest have defaults. */
export type WaitFacts = { [A in Wait["asks"]]: Partial<Extract<Wait, { asks: A }>> & { asks: A } }[Wait["asks"]];

/** A step that opens a wait; `create_time` and `wait_id` have defaults. */
export function waitOf(
  before: StoredRun,
  wait: WaitFacts,
  facts: TransitionFacts = {},
  sequel?: StepSequel,
): Transition {
  const { tenantId, runId, epoch, seq, updateTime, node } = before.state;
  const createTime = facts.time ?? addMs(updateTime, 1);
  const whole: Wait = {
    wait_id: waitIdOf(tenantId, runId, epoch, seq + 1),
    node_id: node,
    create_time: createTime,
    ...(wait.asks === "question" ? { prompt: "?", answer_schema: {} } : {}),
    ...wait,
  } as Wait;
  return stepOf(
    before,
    "step.waiting",
    { status: "waiting", wait: whole, ...(sequel === undefined ? {} : { sequel }) },
    { ...facts, time: createTime },
  );
}

/** The step after a wait: closes it, and the run continues. */
export function answerOf(before: StoredRun, facts: TransitionFacts = {}): Transition {
  return stepOf(before, "step.completed", { status: "completed" }, { closeWaits: [closingOf(before)], ...facts });
}

/** The closing of a run's open wait by its next transition. */
export function closingOf(before: StoredRun): WaitClosing {
  const waitId = openWaitOf(before.state)?.wait_id;
  assert(waitId !== undefined, "the run waits");
  return { waitId, closeTime: addMs(before.state.updateTime, 1), by: "answer", runSeq: before.state.seq + 1 };
}

/** The end of a run. */
export function endOf(before: StoredRun, output: Json, facts: TransitionFacts = {}): Transition {
  return stepOf(before, "run.completed", { status: "completed", output: { value: output } }, facts);
}

/** `ownerLane` owns active runs; parked runs have no owner, as in the engine. */
function transitionOf(before: StoredRun | undefined, draft: StepRecordDraft, facts: TransitionFacts): Transition {
  const { time: _time, ownerLane, state: stateFacts, isLeft, ...rest } = facts;
  const folded = apply(before?.state, draft);
  const state = { ...folded, ...stateFacts };
  const record = seal(draft, before?.headHash ?? NO_PREVIOUS_HASH);
  const wakeTime = wakeTimeOf(state);
  const { wait }: RecordBody = draft.body;
  const behind = isLeft && before !== undefined ? stayBehind(before, state, [record]) : undefined;
  const parts = behind === undefined ? partsWriteOf(before, state) : undefined;
  return {
    tenantId: state.tenantId,
    runId: state.runId,
    expectedSeq: before?.state.seq ?? 0,
    rowSeq: before === undefined ? 0 : rowSeqOf(before),
    after: {
      state,
      headHash: record.hash,
      requestDigest: before?.requestDigest ?? digestOf(`request of ${state.runId}`),
      ...(ownerLane !== undefined && isActive(state) ? { ownerLane } : {}),
      format: RUN_FORMAT,
      ...(behind === undefined ? {} : { behind }),
    },
    ...defined({ parts, wakeTime }),
    records: [record],
    notices: [],
    openWaits: wait === undefined ? [] : [{ wait, seq: draft.seq }],
    closeWaits: [],
    events: [],
    expectChannels: [],
    jobs: [],
    settledJobs: [],
    cancelJobs: false,
    consumedMail: [],
    mail: [],
    ...rest,
  };
}

/** @param others parts besides body and given */
export function seal(
  draft: StepRecordDraft,
  previousHash: string,
  others: readonly { name: string; text: string }[] = [],
): SealedRecord {
  const texts = [
    { name: "body", text: JSON.stringify(draft.body) },
    ...(draft.given === undefined ? [] : [{ name: "given", text: draft.given }]),
    ...others,
  ];
  const parts = texts.map((part) => ({ ...part, salt: new Uint8Array(randomBytes(SALT_BYTES)) }));
  const digests = Object.fromEntries(parts.map(({ name, text, salt }) => [name, partDigest(salt, text)]));
  const header = encodeHeader(draft, digests, previousHash);
  return { seq: draft.seq, header, hash: recordHash(header), parts };
}

/** A job for the tool "pay". */
export function jobOf(idempotencyKey: string, job: Partial<NewJob> = {}): NewJob {
  return {
    ordinal: 0,
    kind: "tool",
    name: "pay",
    nodeId: "first",
    seq: 1,
    payload: { key: idempotencyKey },
    timeoutMs: 60_000,
    fairnessKey: "",
    ...job,
    idempotency_key: idempotencyKey,
  };
}

/** An event to emit; its id has a default. */
export function eventOf(
  channel: Channel,
  event: Partial<Omit<ChannelEvent, "number">> & Pick<ChannelEvent, "name">,
): EventDraft {
  return {
    ...channel,
    eventId: `e-${randomBytes(8).toString("hex")}`,
    key: "",
    payload: null,
    emitTime: TIME_ZERO,
    ...event,
  };
}

export function definitionOf(workflowId: string, message = "hello"): WorkflowDefinition {
  return { workflowId, entryNode: "first", nodes: { first: { answerUser: { message } } } };
}

/** A server with one lane that commits batches one after another. */
export type Writer = {
  readonly store: Store;
  readonly serverId: string;
  readonly lane: Lane;
  readonly laneId: number;
  /** The number of the last batch. */
  batchNo(): number;
  /** Commits one batch of transitions, each in its own group. */
  commit(...transitions: Transition[]): Promise<ItemOutcome[]>;
  /** Commits one batch of deliveries. */
  deliver(...deliveries: Delivery[]): Promise<ItemOutcome[]>;
  commitItems(items: readonly BatchItem[]): Promise<ItemOutcome[]>;
  /** Commits one transition that must succeed, and returns the run as stored. */
  put(transition: Transition): Promise<StoredRun>;
};

export async function openWriter(store: Store, serverId = `server-${randomBytes(6).toString("hex")}`): Promise<Writer> {
  const [lane] = await store.lanes.open({ serverId, process: `process of ${serverId}`, lanes: 1 });
  assert(lane !== undefined, "a server opened one lane");
  const { laneId } = lane;
  let batchNo = 0;
  const commitItems = (items: readonly BatchItem[]): Promise<ItemOutcome[]> => {
    batchNo += 1;
    return store.batches.commit({ laneId, batchNo, items });
  };
  const commit = (...transitions: Transition[]): Promise<ItemOutcome[]> =>
    commitItems(transitions.map((transition) => groupOf(transition)));
  return {
    store,
    serverId,
    lane,
    laneId,
    batchNo: () => batchNo,
    commitItems,
    commit,
    deliver: (...deliveries) => commitItems(deliveries.map((delivery) => ({ type: "delivery", delivery }))),
    put: async (transition) => {
      const [outcome] = await commit(transition);
      assert.deepEqual(outcome?.type, "committed");
      return transition.after;
    },
  };
}

export function groupOf(...transitions: Transition[]): BatchItem {
  return { type: "group", transitions };
}

/** The outcome of a group whose transition of this number is refused. */
export function conflictOf(cause: ConflictCause, transition = 0): ItemOutcome {
  return { type: "conflict", transition, cause };
}

export function channelMoved(transition = 0): ItemOutcome {
  return { type: "channel_moved", transition };
}

export function eventDelivery(event: EventDraft): Delivery {
  return { type: "event", event };
}

/** @param kind of mail, or a whole letter */
export function mailDelivery({ tenantId, runId }: RunKey, kind: string | MailDraft): Delivery {
  return { type: "mail", tenantId, runId, mail: typeof kind === "string" ? { kind, body: {} } : kind };
}

/** Joins two transitions of one run, as the run-ahead does. @param before the run before the first */
export function joinOf(first: Transition, second: Transition, before?: StoredRun): Transition {
  assert.equal(second.expectedSeq, first.after.state.seq);
  const { parts: _parts, ...rest } = second;
  const parts = partsWriteOf(before, second.after.state);
  return {
    ...rest,
    expectedSeq: first.expectedSeq,
    rowSeq: first.rowSeq,
    ...(parts === undefined ? {} : { parts }),
    records: [...first.records, ...second.records],
    notices: [...first.notices, ...second.notices],
    events: [...first.events, ...second.events],
  };
}
