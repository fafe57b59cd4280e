/** On whose behalf an operation runs: built once for a request, by rpc. */

/** What a caller may do. Roles are made of these; what each RPC needs is said where it is asked for. */
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
  /** Acting under an actor id of the caller's own choice. */
  "actors.claim",
] as const;
export type Permission = (typeof PERMISSIONS)[number];

/** Who acts, as the ledger records it. */
export type Actor = {
  id: string;
  /** "claimed": the caller says so. "credential": its credential says so. "signed": its signature proves it. */
  proof: "claimed" | "credential" | "signed";
};

export type Caller = {
  /** From the credential only. */
  readonly tenantId: string;
  /** Missing: nobody in particular. */
  readonly actor?: Actor;
  readonly may: readonly Permission[];
};

/** The actor's id as records and stimuli have it. */
export function actorOf({ actor }: Pick<Caller, "actor">): { actorId?: string } {
  return actor === undefined ? {} : { actorId: actor.id };
}
