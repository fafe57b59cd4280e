/** Reads a run and its ledger back, and verifies them. */
import { type Run, RunSchema } from "@abstractruntime/proto/run_pb";
import { type StepRecord, StepRecordSchema } from "@abstractruntime/proto/step_record_pb";
import { toJson } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";

import { verifyLedger } from "../../tests/verifier/verify-ledger.ts";
import type { Connection } from "./connection.ts";

export type VerifiedRun = {
  run: Run;
  records: StepRecord[];
  /** The problems of the ledger: of its numbers, its chain of hashes, or its folded state. */
  problems: string[];
};

const PAGE_SIZE = 1_000;

/** Undefined if there is no such run. */
export async function readVerified(connection: Connection, runId: string): Promise<VerifiedRun | undefined> {
  // The run is read before its records: otherwise it could be ahead of them.
  const run = await findRun(connection, runId);
  if (run === undefined) return undefined;
  const records = await readLedger(connection, runId);
  const shown = records.map((record) => toJson(StepRecordSchema, record));
  const { ok, stateChecked, problems, notes } = verifyLedger(shown, toJson(RunSchema, run));
  return { run, records, problems: ok && stateChecked ? [] : [...problems, ...notes] };
}

async function findRun({ runtime }: Connection, runId: string): Promise<Run | undefined> {
  try {
    return (await runtime.getRun({ runId })).run;
  } catch (error) {
    if (error instanceof ConnectError && error.code === Code.NotFound) return undefined;
    throw error;
  }
}

async function readLedger({ ledger }: Connection, runId: string): Promise<StepRecord[]> {
  const records: StepRecord[] = [];
  let pageToken = "";
  do {
    const page = await ledger.listStepRecords({ runId, includeProof: true, pageSize: PAGE_SIZE, pageToken });
    records.push(...page.stepRecords);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return records;
}
