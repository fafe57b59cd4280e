/** What the scenarios of one invocation share: the database, a folder, durations, and clean-up. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BenchPostgres, openPostgres } from "./postgres.ts";

/** Durations in milliseconds, unless the name says otherwise. */
export type Extent = {
  rounds: number;
  baselineWarmUpMs: number;
  baselineMs: number;
  warmUpMs: number;
  measureMs: number;
  /** Answers whose latency is measured. */
  answers: number;
  waitingRuns: number;
  idleMs: number;
  /** Records of the long ledgers of `cost-ledger`. */
  ledgerRecords: number;
  ledgerSlices: number;
  varsSlices: number;
  /** Runs in the tables of `cost-history` before it begins. */
  pastRuns: number;
  historySlices: number;
  historySliceMs: number;
  /** How long the peak is measured, and how long the load below it lasts. */
  soakPeakMs: number;
  soakMs: number;
  soakSampleMs: number;
  /** The heap is measured in one of this many samples. */
  soakHeapEvery: number;
};

const FULL: Extent = {
  rounds: 3,
  baselineWarmUpMs: 1_000,
  baselineMs: 4_000,
  warmUpMs: 5_000,
  measureMs: 10_000,
  answers: 1_000,
  waitingRuns: 100_000,
  idleMs: 30_000,
  ledgerRecords: 10_000,
  ledgerSlices: 40,
  varsSlices: 8,
  pastRuns: 1_000_000,
  historySlices: 8,
  historySliceMs: 5_000,
  soakPeakMs: 20_000,
  soakMs: 600_000,
  soakSampleMs: 10_000,
  soakHeapEvery: 3,
};
/** Long enough to check that everything works, too short for numbers to quote. */
const QUICK: Extent = {
  rounds: 1,
  baselineWarmUpMs: 300,
  baselineMs: 1_000,
  warmUpMs: 1_500,
  measureMs: 3_000,
  answers: 100,
  waitingRuns: 10_000,
  idleMs: 10_000,
  ledgerRecords: 500,
  ledgerSlices: 6,
  varsSlices: 1,
  pastRuns: 10_000,
  historySlices: 2,
  historySliceMs: 2_000,
  soakPeakMs: 4_000,
  soakMs: 24_000,
  soakSampleMs: 2_000,
  soakHeapEvery: 1,
};

export type World = {
  readonly postgres: BenchPostgres;
  /** Logs, and data of servers with an embedded database. Removed at the end. */
  readonly folder: string;
  readonly extent: Extent;
  /** The folder for CPU profiles; undefined if none are written. */
  readonly profiles: string | undefined;
  /** Stops what a scenario has left running, and the database. */
  close(): Promise<void>;
  /** Registers a clean-up for the end of the world; clean-ups run in reverse order. */
  atEnd(undo: () => Promise<void> | void): void;
};

export async function openWorld(options: {
  isQuick: boolean;
  isProfiled: boolean;
  /** If absent, those of the extent. */
  rounds?: number | undefined;
  databaseUrl?: string | undefined;
}): Promise<World> {
  const extent = options.isQuick ? QUICK : FULL;
  const folder = mkdtempSync(join(tmpdir(), "abstractruntime-bench-"));
  // If this process runs as root, Postgres runs as another user, who must be able to traverse the folder.
  chmodSync(folder, 0o711);
  const undo: (() => Promise<void> | void)[] = [() => rmSync(folder, { recursive: true, force: true })];
  let closed: Promise<void> | undefined;
  const unwind = async (): Promise<void> => {
    for (let step = undo.pop(); step !== undefined; step = undo.pop()) await step();
  };
  try {
    const postgres = await openPostgres(folder, options.databaseUrl);
    undo.push(() => postgres.close());
    const profiles = join(import.meta.dirname, "profiles");
    if (options.isProfiled) mkdirSync(profiles, { recursive: true });
    return {
      postgres,
      folder,
      extent: { ...extent, rounds: options.rounds ?? extent.rounds },
      profiles: options.isProfiled ? profiles : undefined,
      atEnd: (step) => void undo.push(step),
      close: () => (closed ??= unwind()),
    };
  } catch (error) {
    await unwind();
    throw error;
  }
}
