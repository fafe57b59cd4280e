/** Waits: transitions open and close them; they are listed while open, and kept together with how they ended. */
import type { DamageError } from "../../core/damage.ts";
import type { Instant } from "../../core/duration.ts";
import type { Wait, WaitReason } from "../../core/wait.ts";
import type { Page, PageStart } from "./page.ts";
import type { RunKey } from "./runs.ts";

/** An open wait, to be listed in the inbox and found by events. */
export type OpenWait = { wait: Wait; seq: number };

/** How an open wait ended. Kept so that a repeated answer gets the first reply. */
export type WaitClosing = {
  waitId: string;
  closeTime: Instant;
  by: "answer" | "time" | "event" | "cancel" | "end";
  /** The run's seq when the transition that closed the wait was committed. */
  runSeq: number;
  requestId?: string;
  actorId?: string;
};

export type WaitFilter = {
  reasons: readonly WaitReason[];
  workflowId?: string;
  sessionId?: string;
  runId?: string;
  assignee?: string;
  labels?: Readonly<Record<string, string>>;
};

/** A wait, with the parts of its run that the inbox shows; `closing` is present once it has ended. */
export type StoredWait = RunKey & {
  wait: Wait;
  workflowId: string;
  sessionId?: string;
  labels: Readonly<Record<string, string>>;
  closing?: WaitClosing;
  /** The wait cannot be read: `wait` has its id and its reason. */
  damage?: DamageError;
};

export interface WaitStore {
  get(tenantId: string, waitId: string): Promise<StoredWait | undefined>;
  /** Returns open waits, oldest first. */
  list(request: { tenantId: string; filter: WaitFilter; start?: PageStart; limit: number }): Promise<Page<StoredWait>>;
}
