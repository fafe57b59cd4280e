/** `abstractruntime ledger …`: list. */
import { RunView } from "@abstractruntime/proto/run_pb";
import { type StepRecord, StepRecordSchema } from "@abstractruntime/proto/step_record_pb";
import { toJson } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";

import { type CliContext, runWithClient, type Session, withClientOptions } from "./context.ts";
import { UsageError } from "./failure.ts";
import { recordLine } from "./format-record.ts";
import { hasEnded } from "./format-run.ts";
import { PAGE_SIZE_MAX } from "./paging.ts";
import { jsonText, safeText } from "./terminal.ts";
import { readInteger } from "./values.ts";

const SEQ_MAX = 2 ** 31 - 1;
/** How long one request waits for the next record. */
const FOLLOW_WAIT_MS = 30_000;

type LedgerOptions = { proof?: true; after?: string; limit?: string; follow?: true };

export function addLedgerCommands(program: Command, context: CliContext): void {
  const ledger = program.command("ledger").description("read the ledgers of runs");

  withClientOptions(ledger.command("list"))
    .description("list the records of a run")
    .argument("<run>", "the run's id")
    .option("--proof", "include the exact bytes of each hash, to verify the chain")
    .option("--after <seq>", "start after this record")
    .option("--limit <n>", "how many to list at most (default: all)")
    .option("--follow", "wait for new records until the run ends; with --json, one record per line")
    .addHelpText(
      "after",
      `
Examples:
  $ abstractruntime ledger list expense-17
  $ abstractruntime ledger list expense-17 --proof --json > expense-17.ledger.json
  $ abstractruntime ledger list expense-17 --follow --json | jq -r .kind`,
    )
    .action(async (runId: string, options: LedgerOptions, command: Command) =>
      runWithClient(context, command, (session) => listRecords(runId, options, session)),
    );
}

async function listRecords(runId: string, options: LedgerOptions, session: Session): Promise<undefined> {
  if (options.follow === true && options.limit !== undefined)
    throw new UsageError("--follow and --limit cannot be combined");
  const request: RecordsRequest = {
    runId,
    afterSeq: options.after === undefined ? 0 : readInteger("--after", options.after, { min: 0, max: SEQ_MAX }),
    limit:
      options.limit === undefined
        ? Number.POSITIVE_INFINITY
        : readInteger("--limit", options.limit, { min: 1, max: SEQ_MAX }),
    includeProof: options.proof === true,
    follow: options.follow === true,
  };
  const records = readRecords(request, session);
  if (!session.json) for await (const record of records) await printRecord(record, session);
  else if (request.follow)
    for await (const record of records) await session.terminal.printJsonLine(toJson(StepRecordSchema, record));
  else await printDocument(records, session);
  return undefined;
}

async function printRecord(record: StepRecord, { terminal }: Session): Promise<void> {
  await terminal.print(recordLine(terminal, record));
  if (record.proof === undefined) return;
  await terminal.print(`       hash   ${safeText(record.hash)}`);
  await terminal.print(`       header ${safeText(record.proof.headerJson)}`);
  await terminal.print(`       body   ${safeText(record.proof.bodyJson)}`);
  if (record.proof.given !== undefined)
    await terminal.print(`       given  ${safeText(new TextDecoder().decode(record.proof.given))}`);
}

/** Prints one document page by page: a long ledger need not fit in memory. */
async function printDocument(records: AsyncIterable<StepRecord>, { terminal }: Session): Promise<void> {
  await terminal.write('{\n  "stepRecords": [');
  let separator = "\n";
  for await (const record of records) {
    const text = jsonText(toJson(StepRecordSchema, record), 2);
    await terminal.write(`${separator}    ${text.replaceAll("\n", "\n    ")}`);
    separator = ",\n";
  }
  await terminal.write(separator === "\n" ? "]\n}\n" : "\n  ]\n}\n");
}

type RecordsRequest = { runId: string; afterSeq: number; limit: number; includeProof: boolean; follow: boolean };

async function* readRecords(request: RecordsRequest, session: Session): AsyncGenerator<StepRecord> {
  const { runId, includeProof, follow, limit } = request;
  let { afterSeq } = request;
  let read = 0;
  while (read < limit) {
    const { stepRecords } = await session.ledger.listStepRecords(
      {
        runId,
        afterSeq,
        includeProof,
        pageSize: Math.min(PAGE_SIZE_MAX, limit - read),
        ...(follow ? { wait: durationFromMs(FOLLOW_WAIT_MS) } : {}),
      },
      { timeoutMs: session.deadlineMs + (follow ? FOLLOW_WAIT_MS : 0) },
    );
    for (const record of stepRecords) {
      yield record;
      afterSeq = record.seq;
    }
    read += stepRecords.length;
    // A ledger has no gaps, so an empty page is its current end.
    if (stepRecords.length === 0 && (!follow || (await isOver(runId, afterSeq, session)))) return;
  }
}

/** Whether a run has ended and `seq` is its last record. */
async function isOver(runId: string, seq: number, { runtime }: Session): Promise<boolean> {
  const { run } = await runtime.getRun({ runId, view: RunView.BASIC });
  return run === undefined || (hasEnded(run) && run.seq <= seq);
}
