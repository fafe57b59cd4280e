/** On whose behalf an operation runs: built once for a request, by rpc. */

import type { Deadline } from "./deadline.ts";

/** What a caller may do. Roles consist of permissions; each RPC states the permission that it needs. */
export const PERMISSIONS = [
  "workflows.read",
  "workflows.register",
  "runs.read",
  "runs.start",
  "runs.control",
  "runs.delete",
  "waits.answer",
  "events.emit",
  "ledger.read",
  "workers.read",
  "workers.connect",
  /** Acting under an actor id that the caller chooses. */
  "actors.claim",
] as const;
export type Permission = (typeof PERMISSIONS)[number];

/** Who acts, as the ledger records it. */
export type Actor = {
  id: string;
  /** "claimed": the caller says who it is. "credential": its credential says so. "signed": its signature proves it. */
  proof: "claimed" | "credential" | "signed";
};

export type Caller = {
  /** Only from the credential. */
  readonly tenantId: string;
  /** Missing if no actor is known. */
  readonly actor?: Actor;
  readonly may: readonly Permission[];
  /** How long the caller waits for a reply at most; missing if it did not say. */
  readonly timeoutMs?: number;
  /** Set by the engine while an operation is under way. */
  readonly deadline?: Deadline;
};

/** The actor's id as records and stimuli have it. */
export function actorOf({ actor }: Pick<Caller, "actor">): { actorId?: string } {
  return actor === undefined ? {} : { actorId: actor.id };
}
