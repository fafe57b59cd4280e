/** Turns decisions into what is committed: records are sealed, and each command goes to its section. */
import type { CallSettlement } from "../../core/job.ts";
import type { Command } from "../../core/decision.ts";
import { isActive, type RunState, wakeTimeOf } from "../../core/run.ts";
import type { StepRecordDraft } from "../../core/records.ts";
import type { Transition } from "../../store/contract/batch.ts";
import type { JobSettlement, NewJob } from "../../store/contract/jobs.ts";
import type { StoredRun } from "../../store/contract/runs.ts";
import { RUN_FORMAT } from "../../store/run-format.ts";
import { partsWriteOf } from "../../store/run-parts.ts";
import { rowSeqOf, stayBehind } from "../../store/row-behind.ts";
import { sealRecords } from "./seal.ts";
import { jsonText } from "../../core/json/json-text.ts";

export type Plan = {
  after: RunState;
  records: readonly StepRecordDraft[];
  commands: readonly Command[];
};

export type TransitionFacts = {
  /** Missing if the run is new. */
  before?: StoredRun;
  plan: Plan;
  headHash: string;
  requestDigest: string;
  laneId: number;
  consumedMail: readonly number[];
  /** The jobs that the plan creates, leased where workers have room. */
  jobs: readonly NewJob[];
  /** The lease of the job whose end this transition records. */
  leaseOf?: LeaseOf;
};

export type LeaseOf = (idempotencyKey: string) => { leaseNo: number; digest?: string; onlyOpen?: boolean };

/** What the commands of a decision add to the transition. */
type Sections = {
  notices: Transition["notices"][number][];
  openWaits: Transition["openWaits"][number][];
  closeWaits: Transition["closeWaits"][number][];
  events: Transition["events"][number][];
  expectChannels: Transition["expectChannels"][number][];
  settledJobs: JobSettlement[];
  cancelJobs: boolean;
  holdJobs?: boolean;
};

/** @returns the transition and its size in bytes of text */
export function buildTransition(facts: TransitionFacts): { transition: Transition; bytes: number } {
  const { before, plan, laneId } = facts;
  const { after } = plan;
  const { sealed, headHash } = sealRecords(plan.records, facts.headHash);
  const wakeTime = wakeTimeOf(after);
  const behind =
    before !== undefined && isOfItsOwnerOnly(before, facts) ? stayBehind(before, after, sealed) : undefined;
  const parts = behind === undefined ? partsWriteOf(before, after) : undefined;
  const stored: StoredRun = {
    state: after,
    headHash,
    requestDigest: facts.requestDigest,
    ...(isActive(after) ? { ownerLane: laneId } : {}),
    format: RUN_FORMAT,
    ...(behind === undefined ? {} : { behind }),
  };
  const transition: Transition = {
    tenantId: after.tenantId,
    runId: after.runId,
    expectedSeq: before?.state.seq ?? 0,
    rowSeq: before === undefined ? 0 : rowSeqOf(before),
    after: stored,
    ...(parts === undefined ? {} : { parts }),
    ...(wakeTime === undefined ? {} : { wakeTime }),
    records: sealed,
    ...sectionsOf(facts),
    jobs: facts.jobs,
    consumedMail: facts.consumedMail,
    mail: [],
  };
  return { transition, bytes: bytesOf(transition) };
}

/**
 * Puts each command into its section. New jobs are leased already where workers have room; a consumed event is in its
 * record.
 */
function sectionsOf({ plan, leaseOf }: TransitionFacts): Sections {
  const sections: Sections = {
    notices: [],
    openWaits: [],
    closeWaits: [],
    events: [],
    expectChannels: [],
    settledJobs: [],
    cancelJobs: false,
  };
  for (const command of plan.commands) {
    switch (command.type) {
      case "open_wait":
        sections.openWaits.push({ wait: command.wait, seq: command.seq });
        break;
      case "close_wait": {
        const { type: _type, ...closing } = command;
        sections.closeWaits.push({ ...closing, runSeq: plan.after.seq });
        break;
      }
      case "notice":
        sections.notices.push({ kind: command.kind, seq: command.seq });
        break;
      case "emit":
        sections.events.push(command.event);
        break;
      case "expect_channel":
        sections.expectChannels.push({ channel: command.channel, upTo: command.upTo });
        break;
      case "settle_jobs":
        for (const settlement of command.settlements) sections.settledJobs.push(jobSettlement(settlement, leaseOf!));
        break;
      case "cancel_jobs":
        sections.cancelJobs = true;
        // What is given up needs no hold. Jobs that are made after it are held only if the run is still paused.
        delete sections.holdJobs;
        break;
      case "hold_jobs":
        sections.holdJobs = command.held;
        break;
      case "create_jobs":
      case "consume_event":
        break;
    }
  }
  return sections;
}

/** Commands of a step that only the run's owner needs to know of. */
const OF_ITS_OWNER: ReadonlySet<Command["type"]> = new Set(["emit", "expect_channel", "consume_event"]);

/** Whether only the run's owner needs to know of the change. The row may then stay behind. */
function isOfItsOwnerOnly(before: StoredRun, { plan, laneId, consumedMail }: TransitionFacts): boolean {
  const { after, commands } = plan;
  return (
    before.ownerLane === laneId &&
    isActive(before.state) &&
    isActive(after) &&
    wakeTimeOf(before.state) === wakeTimeOf(after) &&
    plan.records.length > 0 &&
    consumedMail.length === 0 &&
    commands.every(({ type }) => OF_ITS_OWNER.has(type))
  );
}

function jobSettlement({ idempotencyKey, retry }: CallSettlement, leaseOf: LeaseOf): JobSettlement {
  const { leaseNo, digest, onlyOpen } = leaseOf(idempotencyKey);
  return {
    idempotencyKey,
    leaseNo,
    ...(digest === undefined ? {} : { digest }),
    ...(onlyOpen === undefined ? {} : { onlyOpen }),
    ...(retry === undefined ? {} : { retry }),
  };
}

/** The bytes of rows and statements besides their texts. */
const BYTES_BESIDE = 1_000;

/** The approximate number of bytes that a transition takes in its batch: every text that is sent. */
function bytesOf(transition: Transition): number {
  let bytes = BYTES_BESIDE;
  for (const { header, parts } of transition.records) {
    bytes += textBytes(header, ...parts.map(({ text }) => text));
  }
  for (const { text } of transition.parts?.set ?? []) bytes += textBytes(text);
  for (const { wait } of transition.openWaits) bytes += textBytes(jsonText(wait));
  for (const { body } of transition.mail) bytes += textBytes(jsonText(body));
  for (const { payload } of transition.events) bytes += textBytes(jsonText(payload));
  for (const { payload } of transition.jobs) bytes += textBytes(jsonText(payload));
  return bytes;
}

function textBytes(...texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
}
