/** Mail for runs, and what was left behind. */
import type { Channel } from "../../core/event.ts";
import type { RunKey } from "./runs.ts";

export type MailDraft = { kind: "cancel" | "pause" | "unpause"; actorId?: string; reason?: string };

export type Mail = RunKey & MailDraft & { mailId: number };

/** What a crash left behind, or another server did not come to: bounded lists, oldest first. */
export type Strays = {
  /** Runs with mail that is older than `olderThanMs`. */
  mailed: RunKey[];
  /** Channels with events whose listeners were not all woken. */
  channels: Channel[];
};

export interface MailStore {
  list(keys: readonly RunKey[]): Promise<Mail[]>;
  findStrays(olderThanMs: number, limit: number): Promise<Strays>;
}
