/** Mail for runs, and work that was left undone. */
import type { Damageable } from "../../core/damage.ts";
import type { Channel } from "../../core/event.ts";
import type { Json } from "../../core/json/json.ts";
import type { RunKey } from "./runs.ts";

/** A letter. The set of kinds is open (1 to 64 characters); the reader knows what a kind's body is. */
export type MailDraft = { kind: string; body: Json };

/** With `damage`, the body cannot be read and is null. */
export type Mail = RunKey & MailDraft & Damageable & { mailId: number };

/**
 * The most letters read of one run's mail at a time: as much as one transition acts on. A larger letter comes alone.
 */
export const MAIL_LETTERS_MAX = 512;
export const MAIL_BYTES_MAX = 2 * 1024 * 1024;

/** Work orphaned by a crash or never picked up: bounded lists, oldest first. */
export type Strays = {
  /** Runs with mail older than `olderThanMs`. */
  mailed: RunKey[];
  /** Channels with events whose listeners have not all been woken. */
  channels: Channel[];
};

export interface MailStore {
  /**
   * Returns the first mail of each run, in the order of arrival: at most MAIL_LETTERS_MAX letters and, after the first
   * one, MAIL_BYTES_MAX bytes of body text. If `kinds` are given, letters of other kinds are passed over.
   */
  list(keys: readonly RunKey[], kinds?: readonly string[]): Promise<Mail[]>;
  /** @param mailKinds if given, letters of other kinds are passed over */
  findStrays(olderThanMs: number, limit: number, mailKinds?: readonly string[]): Promise<Strays>;
}
