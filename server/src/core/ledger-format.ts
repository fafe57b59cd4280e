/** The bytes of the ledger: docs/ledger-format.md in code. Fixed from the first release. */
import assert from "node:assert/strict";
// One-shot hashing: with an object for each hash it takes more than twice as long.
import { hash } from "node:crypto";
import { DamageError } from "./damage.ts";
import { isJsonObject, parseOwnJson } from "./json/json.ts";
import { type Instant, parseInstant } from "./duration.ts";
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
  parts: Record<string, string>;
};

/** A stored record. A part without its salt is not checked. */
export type StoredRecord = {
  seq?: number;
  header: string;
  hash?: string;
  parts: readonly (Pick<SealedPart, "name" | "text"> & { salt?: Uint8Array })[];
};

/** What can be read of a stored record, and why the rest cannot. */
export type OpenedRecord = {
  header?: Omit<AnyRecord, "body" | "given">;
  body?: RecordBody;
  /** The part `given`, as text whose digest was checked. */
  given?: string;
  /** What cannot be read or does not have its digest: `header`, or the names of parts. */
  damaged: string[];
};

/** Reads a stored record, as far as it has the hash and the digests that were recorded for it. */
export function openRecord(record: StoredRecord): OpenedRecord {
  const opened: OpenedRecord = { damaged: [] };
  const digests = openHeader(record, opened);
  for (const part of record.parts) {
    // Without the digests of the header, nothing can be said of a part.
    if (digests === undefined || !hasDigest(part, digests[part.name])) opened.damaged.push(part.name);
    else if (part.name === "given") opened.given = part.text;
    else if (part.name === "body") openBody(part.text, opened);
  }
  if (partOf(record, "body") === undefined) opened.damaged.push("body");
  return opened;
}

/** Returns the digests of the header, which is read into `opened`; undefined if it is damaged. */
function openHeader(record: StoredRecord, opened: OpenedRecord): Record<string, string> | undefined {
  try {
    assert(record.hash === undefined || recordHash(record.header) === record.hash, "the header has its hash");
    const { header, parts } = readHeader(record.header);
    assert(record.seq === undefined || record.seq === header.seq, "the record is in its place");
    opened.header = header;
    return parts;
  } catch {
    opened.damaged.push("header");
    return undefined;
  }
}

function hasDigest({ text, salt }: StoredRecord["parts"][number], digest: string | undefined): boolean {
  if (salt === undefined) return digest !== undefined;
  return salt.length === SALT_BYTES && partDigest(salt, text) === digest;
}

function openBody(text: string, opened: OpenedRecord): void {
  try {
    const body = parseOwnJson(text);
    assert(isJsonObject(body), "a body is an object");
    opened.body = body;
  } catch {
    opened.damaged.push("body");
  }
}

function readHeader(text: string): { header: Omit<AnyRecord, "body" | "given">; parts: Record<string, string> } {
  const { tenant_id, run_id, seq, time, kind, epoch, parts, ...rest } = JSON.parse(text) as Header;
  const { node_id, attempt = 1, actor_id, idempotency_key, workflow } = rest;
  const texts = [tenant_id, run_id, time, kind, node_id ?? "", actor_id ?? "", idempotency_key ?? "", workflow ?? ""];
  assert(
    texts.every((text) => typeof text === "string"),
    "names and ids are texts",
  );
  assert([seq, attempt, epoch ?? 0].every(Number.isInteger) && isJsonObject(parts), "counts are whole");
  parseInstant(time);
  const header = {
    tenant_id,
    run_id,
    kind,
    seq,
    time,
    epoch: epoch ?? 0,
    ...(node_id === undefined ? {} : { node_id }),
    ...(rest.attempt === undefined ? {} : { attempt }),
    ...(actor_id === undefined ? {} : { actor_id }),
    ...(idempotency_key === undefined ? {} : { idempotency_key }),
    ...(workflow === undefined ? {} : { workflow }),
  };
  return { header, parts };
}

/** Reads a stored record back as the draft it was sealed from. @throws {DomainError} DATA_DAMAGED */
export function draftFromSealed(record: StoredRecord): StepRecordDraft {
  const { header, body, given, damaged } = openRecord(record);
  if (header === undefined || body === undefined || damaged.length > 0) {
    // What a damaged header says of its place is not trusted.
    const ids = { ...(header === undefined ? {} : { run_id: header.run_id }), seq: header?.seq ?? record.seq ?? 0 };
    throw new DamageError("record", ids, `its ${damaged.join(" and ")} cannot be read, or is not what was recorded`);
  }
  const draft: AnyRecord = { ...header, body, ...(given === undefined ? {} : { given }) };
  return draft as StepRecordDraft;
}
