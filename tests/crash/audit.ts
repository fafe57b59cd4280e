/** Compares the ledgers, after all runs have ended, with the replies that the clients got. */
import type { Run, StepRecord } from "../conformance/api.ts";
import { verifyLedger } from "../verifier/verify-ledger.ts";
import type { Client } from "./client.ts";
import { type AnswerOutcome, type Audited, differs, type Knowledge, takenEvents } from "./expectations.ts";
import type { Notice } from "./feed.ts";

/** Runs audited at the same time. */
const READERS = 8;
const PAGE = 1_000;
const ENDS = new Set(["run.completed", "run.failed", "run.cancelled"]);

export type Audit = {
  runs: number;
  records: number;
  /** What is wrong, each with its run; empty if all is well. */
  problems: string[];
  /** The notices that each run's ledger calls for. */
  notices: Map<string, string[]>;
};

/** Reads and checks every run. */
export async function auditRuns(client: Client, knowledge: Knowledge): Promise<Audit> {
  const audit: Audit = { runs: 0, records: 0, problems: [], notices: new Map() };
  const listed = await listRunIds(client);
  audit.problems.push(
    ...differs("the runs that exist", listed.toSorted(), [...knowledge.expectations.keys()].toSorted()),
  );
  const answers = Map.groupBy(knowledge.answers, ({ runId }) => runId);
  const rest = listed.values();
  async function auditNext(): Promise<void> {
    for (const runId of rest) {
      const audited = await readRun(client, runId);
      audit.runs += 1;
      audit.records += audited.records.length;
      audit.notices.set(runId, noticesOf(audited.records));
      const problems = [
        ...ledgerProblems(audited),
        ...runProblems(audited, knowledge),
        ...(answers.get(runId) ?? []).flatMap((answer) => answerProblems(audited, answer)),
      ];
      audit.problems.push(...problems.map((problem) => `${runId}: ${problem}`));
    }
  }
  await Promise.all(Array.from({ length: READERS }, auditNext));
  return audit;
}

async function listRunIds(client: Client): Promise<string[]> {
  const runIds: string[] = [];
  for (let pageToken = ""; ;) {
    const { runs = [], nextPageToken = "" } = await client.call("ListRuns", { pageSize: PAGE, pageToken });
    runIds.push(...runs.map(({ runId }) => runId));
    if (nextPageToken === "") return runIds;
    pageToken = nextPageToken;
  }
}

/** The run is read first: its ledger then has at least its records. */
async function readRun(client: Client, runId: string): Promise<Audited> {
  const { run } = await client.call("GetRun", { runId });
  const records: StepRecord[] = [];
  for (let pageToken = ""; ;) {
    const request = { runId, includeProof: true, pageSize: PAGE, pageToken };
    const { stepRecords = [], nextPageToken = "" } = await client.call("ListStepRecords", request);
    records.push(...stepRecords);
    if (nextPageToken === "") return { run, records };
    pageToken = nextPageToken;
  }
}

function ledgerProblems({ run, records }: Audited): string[] {
  const { ok, stateChecked, problems } = verifyLedger(records, run);
  return [
    ...problems,
    ...(ok === (problems.length === 0) ? [] : ["the verifier contradicts itself"]),
    ...(stateChecked ? [] : ["its ledger cannot be folded to the run's state"]),
  ];
}

function runProblems(audited: Audited, { expectations }: Knowledge): string[] {
  const { run, records } = audited;
  const expectation = expectations.get(run.runId);
  if (expectation === undefined) return ["nobody has started it"];
  const status = differs("its status", run.status, expectation.status);
  const events = takenEvents(records);
  return [
    ...status,
    ...differs("the number of its ends", records.filter(({ kind }) => ENDS.has(kind)).length, 1),
    ...differs("that an end is its last record", ENDS.has(records.at(-1)?.kind ?? ""), true),
    ...(new Set(events).size === events.length ? [] : [`it took an event twice: ${events.join()}`]),
    ...(status.length === 0 ? expectation.problems(audited) : [shown(run)]),
  ];
}

/** An acknowledged answer is in the one record that took it; a refused one is nowhere. */
function answerProblems({ records }: Audited, { waitId, requestId, answer, outcome }: AnswerOutcome): string[] {
  const takers = records.filter((record) => record.requestId === requestId);
  const wants = outcome === "acknowledged" ? 1 : 0;
  const opener = records.findIndex(({ wait }) => wait?.waitId === waitId);
  return [
    ...differs(`the number of records with the answer ${requestId}, which was ${outcome}`, takers.length, wants),
    ...takers.flatMap(({ seq, result }) => [
      ...differs(`the answer ${requestId}`, (result as { answer?: unknown } | undefined)?.answer, answer),
      ...(opener >= 0 && opener < seq ? [] : [`the answer ${requestId} stands before its question`]),
    ]),
  ];
}

/** The notices that follow from a ledger's records, in order. */
function noticesOf(records: readonly StepRecord[]): string[] {
  const kinds: Record<string, string> = {
    "run.started": "STARTED",
    "run.paused": "PAUSED",
    "run.unpaused": "UNPAUSED",
    "run.completed": "COMPLETED",
    "run.failed": "FAILED",
    "run.cancelled": "CANCELLED",
  };
  return records.flatMap(({ kind, wait }) => {
    const told = kinds[kind] === undefined ? [] : [kinds[kind]];
    return wait === undefined ? told : [...told, "WAITING"];
  });
}

/** Whether a reader of the feed has seen each notice once, and those of each run in the ledger's order. */
export function feedProblems(received: readonly Notice[], { notices }: Audit): string[] {
  const problems: string[] = [];
  const times = new Map<string, number>();
  for (const { noticeId } of received) times.set(noticeId, (times.get(noticeId) ?? 0) + 1);
  for (const [noticeId, count] of times) if (count > 1) problems.push(`the notice ${noticeId} came ${count} times`);
  const byRun = Map.groupBy(received, ({ runId }) => runId);
  for (const [runId, expected] of notices) {
    const seen = (byRun.get(runId) ?? []).map(({ kind }) => kind.replace("NOTICE_KIND_", ""));
    // Only the ledger shows when a wait ended; that it ended follows from the next notice.
    const comparable = seen.filter((kind) => kind !== "RESUMED");
    problems.push(...differs(`${runId}: what the feed told`, comparable, expected));
  }
  for (const runId of byRun.keys())
    if (!notices.has(runId)) problems.push(`the feed told of ${runId}, which nobody started`);
  return problems;
}

function shown({ status, currentNode, paused, waiting, error, blockedReason }: Run): string {
  return JSON.stringify({ status, currentNode, paused, waiting, error, blockedReason });
}
