import type { Json } from "../core/json/json.ts";

/** Which part of a run's state: run-parts.ts says what each is. */
export type RunPart = "vars" | "member" | "calls" | "attempt" | "outcome" | "output";

/** How parts change: first what is dropped, then what is set. */
export type PartsWrite = {
  /** JSON texts. */
  readonly set: readonly { part: RunPart; name: string; text: string }[];
  readonly drop: readonly { part: RunPart; name: string }[];
  /** Parts of which every row is dropped. */
  readonly dropAll: readonly RunPart[];
};

/** The same while it is being found out. */
export type PartChanges = {
  set: { part: RunPart; name: string; text: string }[];
  drop: { part: RunPart; name: string }[];
  dropAll: RunPart[];
};

/** The parts of one run as they are stored: by kind, then by name. */
export type StoredParts = ReadonlyMap<RunPart, ReadonlyMap<string, Json>>;
