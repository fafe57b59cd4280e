/** The bytes of the ledger: docs/ledger-format.md in code. Fixed from the first release. */
import assert from "node:assert/strict";
// One-shot hashing: with an object for each hash it takes more than twice as long.
import { hash } from "node:crypto";
import { parseOwnJson } from "./json/json.ts";
import type { Instant } from "./duration.ts";
import type { AnyRecord, RecordBody, RecordKind, StepRecordDraft } from "./records.ts";

const RECORD_DOMAIN = "abstractruntime/step-record/v1\0";
const PART_DOMAIN = Buffer.from("abstractruntime/part/v1\0");

/** `prev` of a ledger's first record. */
export const NO_PREVIOUS_HASH = "0".repeat(64);
/** Bytes of a part's salt. */
export const SALT_BYTES = 16;

/** A part of a record: the text that its digest covers, with the salt. */
export type SealedPart = { name: string; text: string; salt: Uint8Array };

/** A record as it is stored: the header's exact text, its hash, and the parts that its digests cover. */
export type SealedRecord = {
  seq: number;
  header: string;
  /** Lower-case hex. */
  hash: string;
  /** Every record has a `body`, which is first; `given` follows if there is one, then any others. */
  parts: readonly SealedPart[];
};

/** The part of a record with the given name. */
export function partOf<P extends { name: string }>({ parts }: { parts: readonly P[] }, name: string): P | undefined {
  // Nearly every record has one part or two.
  return parts.find((part) => part.name === name);
}

/** Lower-case hex of the salted digest of one part. */
export function partDigest(salt: Uint8Array, bytes: string | Uint8Array): string {
  const covered = [PART_DOMAIN, salt, typeof bytes === "string" ? Buffer.from(bytes) : bytes];
  return hash("sha256", Buffer.concat(covered), "hex");
}

/** Lower-case hex of the hash of a header's exact text. */
export function recordHash(header: string): string {
  return hash("sha256", RECORD_DOMAIN + header, "hex");
}

/** Writes the header's text: keys in the order of the format; empty ones are left out. */
export function encodeHeader(draft: StepRecordDraft, parts: Record<string, string>, previousHash: string): string {
  return JSON.stringify({
    v: 1,
    tenant_id: draft.tenant_id,
    run_id: draft.run_id,
    seq: draft.seq,
    time: draft.time,
    kind: draft.kind,
    node_id: draft.node_id,
    attempt: draft.attempt,
    epoch: draft.epoch === 0 ? undefined : draft.epoch,
    actor_id: draft.actor_id,
    idempotency_key: draft.idempotency_key,
    workflow: draft.workflow,
    parts,
    prev: previousHash,
  });
}

type Header = {
  tenant_id: string;
  run_id: string;
  seq: number;
  time: Instant;
  kind: RecordKind;
  node_id?: string;
  attempt?: number;
  epoch?: number;
  actor_id?: string;
  idempotency_key?: string;
  workflow?: string;
};

/** Reads a stored record back as the draft it was sealed from. Trusts the record: the verifier checks it. */
export function draftFromSealed(record: {
  header: string;
  parts: readonly Pick<SealedPart, "name" | "text">[];
}): StepRecordDraft {
  const { tenant_id, run_id, seq, time, kind, epoch, ...rest } = JSON.parse(record.header) as Header;
  const { node_id, attempt, actor_id, idempotency_key, workflow } = rest;
  const body = partOf(record, "body");
  const given = partOf(record, "given");
  assert(body !== undefined, "a record has a body");
  const draft: AnyRecord = {
    tenant_id,
    run_id,
    kind,
    seq,
    time,
    epoch: epoch ?? 0,
    ...(node_id === undefined ? {} : { node_id }),
    ...(attempt === undefined ? {} : { attempt }),
    ...(actor_id === undefined ? {} : { actor_id }),
    ...(idempotency_key === undefined ? {} : { idempotency_key }),
    ...(workflow === undefined ? {} : { workflow }),
    body: parseOwnJson(body.text) as unknown as RecordBody,
    ...(given === undefined ? {} : { given: given.text }),
  };
  return draft as StepRecordDraft;
}
