import type { Json } from "../json/json.ts";
import type { RecordKind, RecordOf } from "../records.ts";
import type { RunState } from "../run.ts";

/** What a kind of record changes. `apply` itself updates time, epoch and seq. */
export type Change<K extends RecordKind> = (run: RunState, record: RecordOf<K>, given: Json | undefined) => RunState;
