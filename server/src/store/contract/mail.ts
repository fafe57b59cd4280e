/** Mail for runs, and what was left undone. */
import type { Channel } from "../../core/event.ts";
import type { Json } from "../../core/json/json.ts";
import type { RunKey } from "./runs.ts";

/** A letter. The set of kinds is open, of 1 to 64 characters; who reads it knows what its body is. */
export type MailDraft = { kind: string; body: Json };

export type Mail = RunKey & MailDraft & { mailId: number };

/** What is read of one run's mail at once: as much as one transition acts on. A letter that is larger comes alone. */
export const MAIL_LETTERS_MAX = 512;
export const MAIL_BYTES_MAX = 2 * 1024 * 1024;

/** What a crash left behind, or another server did not come to: bounded lists, oldest first. */
export type Strays = {
  /** Runs with mail that is older than `olderThanMs`. */
  mailed: RunKey[];
  /** Channels with events whose listeners were not all woken. */
  channels: Channel[];
};

export interface MailStore {
  /**
   * The first mail of each run, in the order in which it came: at most MAIL_LETTERS_MAX letters and, beyond the first,
   * MAIL_BYTES_MAX bytes of the texts of their bodies.
   */
  list(keys: readonly RunKey[]): Promise<Mail[]>;
  findStrays(olderThanMs: number, limit: number): Promise<Strays>;
}
