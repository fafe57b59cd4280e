/** Runs: a row is a cache of the fold of the run's ledger, changed only by a batch. */
import type { Instant } from "../../core/duration.ts";
import type { Json } from "../../core/json/json.ts";
import type { RunState, RunStatus } from "../../core/run.ts";
import type { WaitReason } from "../../core/wait.ts";
import type { Page, PageStart } from "./page.ts";

export type RunKey = { tenantId: string; runId: string };

/** A run as it is stored: the fold, and what the engine needs beside it. */
export type StoredRun = {
  state: RunState;
  /** Lower-case hex: `prev` of the next record. */
  headHash: string;
  /** Lower-case hex: the RFC 8785 digest of the request that started it. */
  requestDigest: string;
  /** The lane whose server computes on the run; absent while it is parked. */
  ownerLane?: number;
  /** Which release's rules the row follows; a server leaves alone what is newer than itself. */
  format: number;
  /** Absent: the row says what `state` says. */
  behind?: RowBehind;
};

/** What a row says that is behind. */
export type RowBehind = {
  seq: number;
  vars: Json;
  updateTime: Instant;
  /** Characters of the records that the row does not have. */
  chars: number;
};

export type RunFilter = {
  workflowId?: string;
  version?: number;
  statuses?: readonly RunStatus[];
  sessionId?: string;
  actorId?: string;
  parentRunId?: string;
  rootRunId?: string;
  labels?: Readonly<Record<string, string>>;
  paused?: boolean;
  waitingReasons?: readonly WaitReason[];
  createTimeAfter?: Instant;
  createTimeBefore?: Instant;
};

export type RunOrder = "create_time_desc" | "create_time_asc" | "update_time_desc";

export interface RunStore {
  /** In the order of the keys; undefined where there is no such run. */
  load(keys: readonly RunKey[]): Promise<(StoredRun | undefined)[]>;
  /** The same without what is in parts (run-parts.ts): vars are null, and there is no output. */
  loadHeads(keys: readonly RunKey[]): Promise<(StoredRun | undefined)[]>;
  /** Without vars and output: `state.vars` is null and `state.output` absent. */
  list(request: {
    tenantId: string;
    filter: RunFilter;
    order: RunOrder;
    start?: PageStart;
    limit: number;
  }): Promise<Page<StoredRun>>;
  /**
   * Deletes an ended run with its records, waits, jobs and mail. False: it has not ended, or is not there.
   *
   * Its id is never used again: a start of it is a conflict for ever. Idempotency keys and wait ids are derived from
   * run id and seq, so a second run of the id would be given the answers of the first, and repeat its effects' keys.
   */
  delete(key: RunKey): Promise<boolean>;
  /** Whether there was a run of this id that was deleted. */
  wasDeleted(key: RunKey): Promise<boolean>;
  /** Makes `laneId` the owner of up to `limit` active runs whose lanes have ended, and gives their keys. */
  claim(laneId: number, limit: number): Promise<RunKey[]>;
  /**
   * Takes up to `limit` runs whose wake time has come (database time), earliest first. Their wake time is moved ahead
   * by `retryAfterMs`, so that another server tries if the taker dies.
   */
  claimDue(limit: number, retryAfterMs: number): Promise<{ now: Instant; runs: RunKey[]; nextWakeTime?: Instant }>;
}
