/** Converts runs to rows and back: which part of the state is a column, and which is JSON text beside the columns. */
import assert from "node:assert/strict";
import { DamageError, decodeStored } from "../../core/damage.ts";
import { isJsonObject, type Json, parseOwnJson } from "../../core/json/json.ts";
import { type RunState, type RunStatus, waitReasonOf } from "../../core/run.ts";
import { readWait } from "../../core/wait.ts";
import type { Instant } from "../../core/duration.ts";
import type { StoredRun } from "../contract/runs.ts";
import type { Transition } from "../contract/batch.ts";
import { foldMissing, foldMissingHeads, type MissingRecord } from "../row-behind.ts";
import { inFlightToRow } from "../in-flight.ts";
import type { RunPart, StoredParts } from "../part.ts";
import { NO_PARTS, partsByKind, type RowState, stateFromRow } from "../run-parts.ts";

/** The part of the state that has neither a column nor a row of its own. */
type StateRest = Pick<
  RowState,
  | "digest"
  | "limits"
  | "channels"
  | "cancelling"
  | "handlingError"
  | "inFlight"
  | "steps"
  | "epoch"
  | "cursors"
  | "deadlineTime"
  | "error"
>;

/** Encodes the part of the state that has no column. */
export function encodeStateRest(state: RunState): string {
  const rest: StateRest = {
    digest: state.digest,
    limits: state.limits,
    channels: state.channels,
    cancelling: state.cancelling,
    ...(state.handlingError === undefined ? {} : { handlingError: state.handlingError }),
    ...(state.inFlight === undefined ? {} : { inFlight: inFlightToRow(state.inFlight) }),
    steps: state.steps,
    epoch: state.epoch,
    cursors: state.cursors,
    ...(state.deadlineTime === undefined ? {} : { deadlineTime: state.deadlineTime }),
    ...(state.error === undefined ? {} : { error: state.error }),
  };
  return JSON.stringify(rest);
}

/** The columns of a run that every transition changes, except JSON text. */
export function changingColumns({ after, wakeTime }: Transition): object {
  const { state } = after;
  return {
    status: state.status,
    paused: state.paused,
    node: state.node,
    seq: state.seq,
    head_hash: hexToBytea(after.headHash),
    wait_reason: waitReasonOf(state),
    owner_lane: after.ownerLane,
    wake_at: wakeTime,
    update_time: state.updateTime,
    end_time: state.endTime,
    format: after.format,
  };
}

/** Encodes bytes for a bytea column in a JSON row. */
export function bytesToHex(bytes: Uint8Array): string {
  return `\\x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex")}`;
}

/** Encodes hex for a bytea column in a JSON row. */
export function hexToBytea(hex: string): string {
  return `\\x${hex}`;
}

/** A row of `runs`, with payloads if they were selected. */
export type RunRow = {
  tenant_id: string;
  run_id: string;
  workflow_id: string;
  version: number;
  status: RunStatus;
  paused: boolean;
  node: string;
  seq: number;
  head_hash: Buffer;
  owner_lane: number | null;
  create_time: Instant;
  update_time: Instant;
  end_time: Instant | null;
  session_id: string | null;
  actor_id: string | null;
  parent_run_id: string | null;
  root_run_id: string;
  labels: unknown;
  request_digest: Buffer;
  format: number;
  state: string;
  /** JSON list of [part, name, value]. */
  parts?: string | null;
  /** Null: the row is not behind its ledger. */
  missing?: MissingRow[] | null;
};

/** Salts and hash are hex. */
type MissingRow = {
  header: string;
  hash: string;
  body: string;
  body_salt: string;
  given: string | null;
  given_salt: string | null;
};

/** The records that are not yet in a row. */
function missingFromRow({ missing }: RunRow): MissingRecord[] {
  return (missing ?? []).map(({ header, hash, body, body_salt, given, given_salt }) => ({
    header,
    hash,
    parts: [
      { name: "body", text: body, salt: Buffer.from(body_salt, "hex") },
      ...(given === null || given_salt === null
        ? []
        : [{ name: "given", text: given, salt: Buffer.from(given_salt, "hex") }]),
    ],
  }));
}

/** Reads a run with the records that its row does not include yet. */
export function runFromRow(row: RunRow): StoredRun {
  return decodeRun(row, foldMissing);
}

/** The same for a row without payloads. */
export function headFromRow(row: RunRow): StoredRun {
  return decodeRun(row, foldMissingHeads);
}

function decodeRun(row: RunRow, fold: (run: StoredRun, missing: readonly MissingRecord[]) => StoredRun): StoredRun {
  return decodeStored(
    () => fold(storedRun(row, readRest(row), partsFromRow(row)), missingFromRow(row)),
    (what, cause) => new DamageError("run", { run_id: row.run_id }, what, cause),
    (damage) => ({ ...storedRun(row, UNREADABLE_REST, NO_PARTS), damage }),
  );
}

/** Stands for the part of a state that cannot be read. */
const UNREADABLE_REST: StateRest = {
  digest: "",
  limits: {},
  channels: { run: 0, session: 0, workflow: 0, global: 0 },
  cancelling: false,
  steps: 0,
  epoch: 0,
  cursors: [],
};

/** Parses the part of the state that has no column, and checks that it has what every state has. */
function readRest({ state, status, labels }: RunRow): StateRest {
  const rest = parseOwnJson(state);
  assert(isJsonObject(rest), "a state is an object");
  assert(readLabels(labels) !== undefined, "labels are texts");
  const { digest, limits, channels, cancelling, steps, epoch, cursors, inFlight = {}, error = {} } = rest;
  assert(typeof digest === "string" && typeof cancelling === "boolean", "a state has a digest");
  assert(Number.isInteger(steps) && Number.isInteger(epoch) && Array.isArray(cursors), "a state has its counts");
  assert(isJsonObject(limits) && isJsonObject(channels), "a state has limits and channels");
  assert(isJsonObject(error) && [error["code"] ?? "", error["message"] ?? ""].every(isText), "an error has a code");
  assert(isJsonObject(inFlight), "what is in flight is an object");
  if (status === "waiting" || inFlight["wait"] !== undefined) readWait(inFlight["wait"]);
  return rest as unknown as StateRest;
}

/** Returns the labels of a row of `runs`; undefined if they are damaged. */
export function readLabels(labels: unknown): Record<string, string> | undefined {
  const isObject = typeof labels === "object" && labels !== null && !Array.isArray(labels);
  return isObject && Object.values(labels).every((label) => typeof label === "string")
    ? (labels as Record<string, string>)
    : undefined;
}

function isText(value: Json): boolean {
  return typeof value === "string";
}

function storedRun(row: RunRow, rest: StateRest, parts: StoredParts): StoredRun {
  const state: RowState = {
    tenantId: row.tenant_id,
    runId: row.run_id,
    workflowId: row.workflow_id,
    version: row.version,
    ...(row.session_id === null ? {} : { sessionId: row.session_id }),
    ...(row.actor_id === null ? {} : { actorId: row.actor_id }),
    ...(row.parent_run_id === null ? {} : { parentRunId: row.parent_run_id }),
    rootRunId: row.root_run_id,
    labels: readLabels(row.labels) ?? {},
    createTime: row.create_time,
    status: row.status,
    paused: row.paused,
    node: row.node,
    updateTime: row.update_time,
    ...(row.end_time === null ? {} : { endTime: row.end_time }),
    seq: row.seq,
    ...rest,
  };
  return {
    state: stateFromRow(state, parts),
    headHash: row.head_hash.toString("hex"),
    requestDigest: row.request_digest.toString("hex"),
    ...(row.owner_lane === null ? {} : { ownerLane: row.owner_lane }),
    format: row.format,
  };
}

function partsFromRow({ parts }: RunRow): StoredParts {
  if (typeof parts !== "string") return NO_PARTS;
  return partsByKind(parseOwnJson(parts) as unknown as [RunPart, string, Json][]);
}
