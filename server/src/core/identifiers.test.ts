import { createHash } from "node:crypto";
import * as fc from "fast-check";
import { expect, test } from "vitest";

import { base32, ID_PATTERN, idempotencyKey, waitIdOf } from "./identifiers.ts";

// RFC 4648, section 10, in lower case and without padding.
test.each([
  ["", ""],
  ["f", "my"],
  ["fo", "mzxq"],
  ["foo", "mzxw6"],
  ["foob", "mzxw6yq"],
  ["fooba", "mzxw6ytb"],
  ["foobar", "mzxw6ytboi"],
])("base32 of %j is %j", (text, encoded) => {
  expect(base32(Buffer.from(text))).toBe(encoded);
});

const parts = { tenantId: "acme", runId: "run-1", epoch: 0, nodeId: "pay", seq: 7, ordinal: 0 };

test("an idempotency key is the hash of length-prefixed parts: fixed from the first release", () => {
  const hash = createHash("sha256").update("4:acme5:run-11:03:pay1:71:0").digest();
  expect(idempotencyKey(parts)).toBe(base32(hash));
  expect(idempotencyKey(parts)).toBe("7ktdyci4qdc4p2644gb4u4ccdym42emhutsn2vgca2by7eaerzeq");
});

test("a wait id is 26 characters of the same kind of hash", () => {
  const hash = createHash("sha256").update("4:wait4:acme5:run-11:02:12").digest();
  expect(waitIdOf("acme", "run-1", 0, 12)).toBe(base32(hash).slice(0, 26));
  expect(waitIdOf("acme", "run-1", 0, 12)).toMatch(/^[a-z2-7]{26}$/);
});

test("every part of a key counts, and no part runs into the next", () => {
  const others = [
    { tenantId: "acm", runId: "erun-1" },
    { tenantId: "acme2" },
    { runId: "run-10" },
    { runId: "run-1", epoch: 1 },
    { nodeId: "pay7" },
    { seq: 70 },
    { seq: 8 },
    { ordinal: 1 },
  ];
  const keys = [parts, ...others.map((other) => ({ ...parts, ...other }))].map(idempotencyKey);
  expect(new Set(keys).size).toBe(keys.length);
});

test("keys of different places are different, and ids", () => {
  const id = fc.stringMatching(/^[a-c1-3]{1,3}$/);
  const place = fc.record({
    tenantId: id,
    runId: id,
    epoch: fc.nat(12),
    nodeId: id,
    seq: fc.nat(12),
    ordinal: fc.nat(12),
  });
  fc.assert(
    fc.property(place, place, (a, b) => {
      const isSame = JSON.stringify(a) === JSON.stringify(b);
      expect(idempotencyKey(a) === idempotencyKey(b)).toBe(isSame);
      expect(idempotencyKey(a)).toMatch(ID_PATTERN);
    }),
  );
});

test.each(["a", "A1", "0", "a.b_c-d", "a".repeat(128)])("%j is an id", (id) => {
  expect(id).toMatch(ID_PATTERN);
});

test.each(["", ".a", "-a", "_a", "a b", "a/b", "é", "a\n", "a".repeat(129), "a@b"])("%j is no id", (id) => {
  expect(id).not.toMatch(ID_PATTERN);
});
