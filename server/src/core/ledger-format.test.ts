import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";

import { sealRecords } from "../engine/transition/seal.ts";
import type { Instant } from "./duration.ts";
import {
  draftFromSealed,
  encodeHeader,
  NO_PREVIOUS_HASH,
  partDigest,
  recordHash,
  SALT_BYTES,
  partOf,
  type SealedRecord,
} from "./ledger-format.ts";
import type { Json } from "./json/json.ts";
import type { RecordOf, StepRecordDraft } from "./records.ts";

const draft: RecordOf<"step.completed"> = {
  tenant_id: "acme",
  run_id: "run-1",
  kind: "step.completed",
  seq: 2,
  time: "2026-03-01T09:00:00.000001Z" as Instant,
  epoch: 0,
  body: { status: "completed", patch: [{ op: "set", path: "/é", value: "🎉" }], to: "next" },
};
const full: RecordOf<"step.completed"> = {
  ...draft,
  node_id: "pay",
  attempt: 3,
  epoch: 2,
  actor_id: "ada",
  idempotency_key: "key",
  workflow: "d".repeat(64),
};
const parts = { body: "b".repeat(64), given: "c".repeat(64) };

describe("the header", () => {
  test("has its keys in the order of the format, and none that is empty", () => {
    expect(encodeHeader(draft, { body: "b" }, "p")).toBe(
      '{"v":1,"tenant_id":"acme","run_id":"run-1","seq":2,"time":"2026-03-01T09:00:00.000001Z","kind":"step.completed",' +
        '"parts":{"body":"b"},"prev":"p"}',
    );
    expect(Object.keys(JSON.parse(encodeHeader(full, parts, NO_PREVIOUS_HASH)) as object)).toEqual([
      "v",
      "tenant_id",
      "run_id",
      "seq",
      "time",
      "kind",
      "node_id",
      "attempt",
      "epoch",
      "actor_id",
      "idempotency_key",
      "workflow",
      "parts",
      "prev",
    ]);
  });

  test("is one line, whatever stands in it", () => {
    expect(encodeHeader({ ...full, actor_id: "a\nb" }, parts, "p")).not.toMatch(/[\r\n]/);
  });
});

describe("hashes", () => {
  test("a record's hash is over its domain, a zero byte and the header's bytes", () => {
    const expected = createHash("sha256")
      .update(Buffer.concat([Buffer.from("abstractruntime/step-record/v1"), Buffer.from([0]), Buffer.from("héader")]))
      .digest("hex");
    expect(recordHash("héader")).toBe(expected);
  });

  test("a part's digest is over its domain, a zero byte, the salt and the part's bytes", () => {
    const salt = Buffer.alloc(SALT_BYTES, 7);
    const expected = createHash("sha256")
      .update(Buffer.concat([Buffer.from("abstractruntime/part/v1\0"), salt, Buffer.from("{}")]))
      .digest("hex");
    expect(partDigest(salt, "{}")).toBe(expected);
    expect(partDigest(salt, Buffer.from("{}"))).toBe(expected);
  });
});

describe("sealing", () => {
  test("links each record to the one before it, and each to its parts", () => {
    const previous = "a".repeat(64);
    const { sealed, headHash } = sealRecords([draft, { ...draft, seq: 3, given: '{"answer":1}' }], previous);
    const headers = sealed.map(({ header }) => JSON.parse(header) as { prev: string; parts: Record<string, string> });
    expect(headers.map(({ prev }) => prev)).toEqual([previous, sealed[0]!.hash]);
    expect(headHash).toBe(sealed[1]!.hash);
    const digestsOf = ({ parts: sealedParts }: SealedRecord) =>
      sealedParts.map(({ name, text, salt }) => [name, partDigest(salt, text)]);
    expect(sealed.map(({ parts: sealedParts }) => sealedParts.map(({ name }) => name))).toEqual([
      ["body"],
      ["body", "given"],
    ]);
    expect(partOf(sealed[1]!, "given")?.text).toBe('{"answer":1}');
    expect(headers.map((header) => Object.entries(header.parts))).toEqual(sealed.map(digestsOf));
  });

  test("salts are 16 bytes and never the same", () => {
    const drafts = Array.from({ length: 400 }, () => ({ ...draft, given: "1" }));
    const { sealed } = sealRecords(drafts, NO_PREVIOUS_HASH);
    const salts = sealed.flatMap((record) => record.parts.map(({ salt }) => salt));
    expect(salts).toHaveLength(2 * drafts.length);
    expect(new Set(salts.map(({ length }) => length))).toEqual(new Set([SALT_BYTES]));
    expect(new Set(salts.map((salt) => Buffer.from(salt).toString("hex"))).size).toBe(salts.length);
  });

  test.each<[string, StepRecordDraft]>([
    ["with every key", { ...full, given: '{"a":[1,"é🎉"]}' }],
    ["with no more than it must have", draft],
    [
      "with numbers that are no exact integers as text",
      { ...draft, body: { ...draft.body, result: [{ op: "set", path: "", value: [1.2345678901234568e20, 1e300] }] } },
    ],
    [
      "with a body as deep as payloads may be",
      { ...draft, body: { ...draft.body, result: [{ op: "set", path: "", value: deep(32) }] } },
    ],
  ])("a record %s is read back as it was", (_what, record) => {
    const { sealed } = sealRecords([record], NO_PREVIOUS_HASH);
    expect(draftFromSealed(sealed[0]!)).toEqual(record);
  });
});

function deep(levels: number): Json {
  return levels === 1 ? [] : [deep(levels - 1)];
}
