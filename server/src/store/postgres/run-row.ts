/** A run as rows and back: which part of its state is a column, which is JSON text beside them. */
import assert from "node:assert/strict";
import { type Json, type JsonObject, parseOwnJson } from "../../core/json.ts";
import type { RunState, RunStatus } from "../../core/run.ts";
import type { Instant } from "../../core/duration.ts";
import type { StoredRun } from "../contract/runs.ts";
import type { MissingRecord } from "../row-behind.ts";

/** The part of the state that has neither a column nor a row of its own. */
type StateRest = Pick<
  RunState,
  | "digest"
  | "limits"
  | "channels"
  | "cancelling"
  | "handlingError"
  | "wait"
  | "calls"
  | "sequel"
  | "steps"
  | "epoch"
  | "cursors"
  | "deadlineTime"
  | "error"
>;

/** Text of what has no column. */
export function encodeStateRest(state: RunState): string {
  const rest: StateRest = {
    digest: state.digest,
    limits: state.limits,
    channels: state.channels,
    cancelling: state.cancelling,
    ...(state.handlingError === undefined ? {} : { handlingError: state.handlingError }),
    ...(state.wait === undefined ? {} : { wait: state.wait }),
    calls: state.calls,
    ...(state.sequel === undefined ? {} : { sequel: state.sequel }),
    steps: state.steps,
    epoch: state.epoch,
    cursors: state.cursors,
    ...(state.deadlineTime === undefined ? {} : { deadlineTime: state.deadlineTime }),
    ...(state.error === undefined ? {} : { error: state.error }),
  };
  return JSON.stringify(rest);
}

/** Bytes as JSON rows carry them to a bytea column. */
export function bytesToHex(bytes: Uint8Array): string {
  return `\\x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex")}`;
}

/** Hex as JSON rows carry it to a bytea column. */
export function hexToBytea(hex: string): string {
  return `\\x${hex}`;
}

/** A row of `runs`; the payloads where they were asked for. */
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
  labels: Record<string, string>;
  request_digest: Buffer;
  format: number;
  state: string;
  vars?: string | null;
  output?: string | null;
  vars_rest?: string | null;
  /** JSON object of the members that `vars_rest` names. */
  vars_apart?: string | null;
  /** Null: the row is not behind its ledger. */
  missing?: { header: string; hash: string; body: string; given: string | null }[] | null;
};

/** The records that a row does not have. */
export function missingFromRow({ missing }: RunRow): MissingRecord[] {
  return (missing ?? []).map(({ given, ...record }) => (given === null ? record : { ...record, given }));
}

export function runFromRow(row: RunRow): StoredRun {
  const rest = parseOwnJson(row.state) as unknown as StateRest;
  const { wait, deadlineTime, error, ...always } = rest;
  return {
    state: {
      tenantId: row.tenant_id,
      runId: row.run_id,
      workflowId: row.workflow_id,
      version: row.version,
      ...(row.session_id === null ? {} : { sessionId: row.session_id }),
      ...(row.actor_id === null ? {} : { actorId: row.actor_id }),
      ...(row.parent_run_id === null ? {} : { parentRunId: row.parent_run_id }),
      rootRunId: row.root_run_id,
      labels: row.labels,
      createTime: row.create_time,
      status: row.status,
      paused: row.paused,
      node: row.node,
      vars: varsFromRow(row),
      ...(typeof row.output === "string" ? { output: parseOwnJson(row.output) } : {}),
      updateTime: row.update_time,
      ...(row.end_time === null ? {} : { endTime: row.end_time }),
      seq: row.seq,
      ...always,
      ...(wait === undefined ? {} : { wait }),
      ...(deadlineTime === undefined ? {} : { deadlineTime }),
      ...(error === undefined ? {} : { error }),
    },
    headHash: row.head_hash.toString("hex"),
    requestDigest: row.request_digest.toString("hex"),
    ...(row.owner_lane === null ? {} : { ownerLane: row.owner_lane }),
    format: row.format,
  };
}

function varsFromRow(row: RunRow): Json {
  if (typeof row.vars_rest !== "string") return typeof row.vars === "string" ? parseOwnJson(row.vars) : null;
  assert(typeof row.vars_apart === "string", "members that are named are there");
  const [vars, names] = parseOwnJson(row.vars_rest) as [JsonObject, string[]];
  const apart = parseOwnJson(row.vars_apart) as JsonObject;
  for (const name of names) {
    const value = apart[name];
    assert(value !== undefined, "members that are named are there");
    vars[name] = value;
  }
  return vars;
}
