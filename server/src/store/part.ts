import type { Json } from "../core/json/json.ts";

/** The kinds of parts of a run's state; run-parts.ts explains each. */
export type RunPart = "vars" | "member" | "calls" | "attempt" | "outcome" | "output";

/** How parts change: first drops, then sets. */
export type PartsWrite = {
  /** JSON texts. */
  readonly set: readonly { part: RunPart; name: string; text: string }[];
  readonly drop: readonly { part: RunPart; name: string }[];
  /** Kinds of which every row is dropped. */
  readonly dropAll: readonly RunPart[];
};

/** The same, while it is being collected. */
export type PartChanges = {
  set: { part: RunPart; name: string; text: string }[];
  drop: { part: RunPart; name: string }[];
  dropAll: RunPart[];
};

/** The stored parts of one run, by kind and then by name. */
export type StoredParts = ReadonlyMap<RunPart, ReadonlyMap<string, Json>>;
