/** Runs. A row caches the fold of the run's ledger; only a batch changes it. */
import type { DamageError } from "../../core/damage.ts";
import type { Instant } from "../../core/duration.ts";
import type { Json } from "../../core/json/json.ts";
import type { RunState, RunStatus } from "../../core/run.ts";
import type { WaitReason } from "../../core/wait.ts";
import type { Page, PageStart } from "./page.ts";

export type RunKey = { tenantId: string; runId: string };

/** A run as it is stored: the fold, and what else the engine needs. */
export type StoredRun = {
  state: RunState;
  /** Lower-case hex: `prev` of the next record. */
  headHash: string;
  /** Lower-case hex: the RFC 8785 digest of the request that started it. */
  requestDigest: string;
  /** The lane whose server runs it; absent while it is parked. */
  ownerLane?: number;
  /** The format that the row follows. A server does not change a row of a newer format. */
  format: number;
  /** Absent: the row matches `state`. */
  behind?: RowBehind;
  /** Part of the run cannot be read: `state` has what the row's columns say, and nothing else that is true. */
  damage?: DamageError;
};

/** The values in a row that is behind. */
export type RowBehind = {
  seq: number;
  vars: Json;
  updateTime: Instant;
  /** Characters in the records that are not yet folded into the row. */
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
  /** Returns the runs in the order of the keys; undefined for a run that does not exist. */
  load(keys: readonly RunKey[]): Promise<(StoredRun | undefined)[]>;
  /** The same without what is kept in parts (run-parts.ts): vars are null, and there is no output. */
  loadHeads(keys: readonly RunKey[]): Promise<(StoredRun | undefined)[]>;
  /** Returns runs without vars and output: `state.vars` is null and `state.output` absent. */
  list(request: {
    tenantId: string;
    filter: RunFilter;
    order: RunOrder;
    start?: PageStart;
    limit: number;
  }): Promise<Page<StoredRun>>;
  /**
   * Deletes an ended run with its records, waits, jobs and mail. Returns false if it has not ended or does not exist.
   *
   * Its id is never used again: every later start of it is a conflict. Idempotency keys and wait ids are derived from
   * the run id and seq, so a second run with the id would get the first run's answers and reuse its effects' keys.
   */
  delete(key: RunKey): Promise<boolean>;
  /** Returns whether a run with this id existed and was deleted. */
  wasDeleted(key: RunKey): Promise<boolean>;
  /** Makes `laneId` the owner of up to `limit` active runs whose lanes have ended, and returns their keys. */
  claim(laneId: number, limit: number): Promise<RunKey[]>;
  /**
   * Takes up to `limit` runs whose wake time has come in database time, earliest first. Moves their wake time ahead by
   * `retryAfterMs`, so that another server tries if this one dies.
   */
  claimDue(limit: number, retryAfterMs: number): Promise<{ now: Instant; runs: RunKey[]; nextWakeTime?: Instant }>;
}
