import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Json } from "../../core/json/json.ts";
import { largeMembersOf } from "../../core/json/large-members.ts";
import type { OfferedJob } from "../api.ts";
import { offeredChars } from "../offered-chars.ts";
import { createKeptVars, givenHandler, type KeptVars } from "./kept-vars.ts";

/** A text whose JSON has so many bytes. */
const textOf = (bytes: number, fill = "x"): string => fill.repeat(bytes - 2);

type Given = Pick<OfferedJob, "payload" | "largeVars" | "forgottenVars">;

function offer(kept: KeptVars | undefined, vars: Json, runId = "run"): Given {
  return givenHandler(runId, { vars, run: { run_id: runId }, error: null, now: "2026-01-01T00:00:00Z" }, kept);
}

/**
 * A worker as docs/worker-protocol.md describes it: assembles the vars of each job, and detects the server's mistakes.
 */
function createKeeper() {
  const kept = new Map<number, string>();
  const seen = new Set<number>();
  return {
    bytes: () => [...kept.values()].reduce((sum, text) => sum + Buffer.byteLength(text), 0),
    size: () => kept.size,
    take({ payload, largeVars = [], forgottenVars = [] }: Given): Json {
      const { vars } = JSON.parse(payload) as { vars: Record<string, Json> };
      for (const { name, id, text } of largeVars) {
        expect(vars[name]).toBeNull();
        if (text !== undefined && id !== 0) {
          expect(seen.has(id), `id ${id} is used again`).toBe(false);
          seen.add(id);
          kept.set(id, text);
        }
        const known = text ?? kept.get(id);
        expect(known, `id ${id} was not sent, or is forgotten`).toBeDefined();
        vars[name] = JSON.parse(known!) as Json;
      }
      for (const id of forgottenVars) expect(kept.delete(id), `id ${id} is not there to be forgotten`).toBe(true);
      return vars;
    },
  };
}

test("a worker that keeps nothing is given all vars", () => {
  const vars = { a: textOf(3_000), b: 1 };
  const given = offer(undefined, vars);
  expect(Object.keys(given)).toEqual(["payload"]);
  expect(JSON.parse(given.payload)).toMatchObject({ vars });
});

test("vars without large members are given as they are", () => {
  const given = offer(createKeptVars(10_000), { a: textOf(100) });
  expect(Object.keys(given)).toEqual(["payload"]);
});

test("a member is sent once, as long as it is the same or an equal one", () => {
  const kept = createKeptVars(10_000);
  const vars = { first: 1, list: [textOf(3_000)], text: textOf(3_000), last: 2 };
  const first = offer(kept, vars);
  expect(first.payload).toMatch(/^\{"vars":\{"first":1,"list":null,"text":null,"last":2\},"run":\{"run_id":"run"\},/);
  expect(first.largeVars).toEqual([
    { name: "list", id: 1, text: JSON.stringify(vars.list) },
    { name: "text", id: 2, text: JSON.stringify(vars.text) },
  ]);
  // As it is read from the database again.
  const read = JSON.parse(JSON.stringify({ ...vars, last: 3 })) as Json;
  expect(offer(kept, read)).toMatchObject({
    largeVars: [
      { name: "list", id: 1 },
      { name: "text", id: 2 },
    ],
    forgottenVars: [],
  });
  expect(offer(kept, read).largeVars!.every(({ text }) => text === undefined)).toBe(true);
});

test("a member that has changed is sent again, and its old value is forgotten", () => {
  const kept = createKeptVars(10_000);
  offer(kept, { a: textOf(3_000, "x"), b: textOf(3_000) });
  const changed = textOf(3_000, "y");
  expect(offer(kept, { a: changed, b: textOf(3_000) })).toMatchObject({
    largeVars: [
      { name: "a", id: 3, text: JSON.stringify(changed) },
      { name: "b", id: 2 },
    ],
    forgottenVars: [1],
  });
});

test("members of the same name in two runs are two", () => {
  const kept = createKeptVars(10_000);
  const [one, other] = [{ a: textOf(3_000, "x") }, { a: textOf(3_000, "y") }];
  expect(offer(kept, one, "one").largeVars).toMatchObject([{ id: 1, text: JSON.stringify(one.a) }]);
  expect(offer(kept, other, "other").largeVars).toMatchObject([{ id: 2, text: JSON.stringify(other.a) }]);
  expect(offer(kept, one, "one").largeVars).toEqual([{ name: "a", id: 1 }]);
  expect(offer(kept, other, "other").largeVars).toEqual([{ name: "a", id: 2 }]);
});

test("what was offered longest ago makes room", () => {
  const kept = createKeptVars(7_000);
  for (const runId of ["1", "2", "1", "3"]) offer(kept, { a: textOf(3_000) }, runId);
  expect(offer(kept, { a: textOf(3_000) }, "1").largeVars).toEqual([{ name: "a", id: 1 }]);
  expect(offer(kept, { a: textOf(3_000) }, "3").largeVars).toEqual([{ name: "a", id: 3 }]);
  expect(offer(kept, { a: textOf(3_000) }, "2")).toMatchObject({ largeVars: [{ id: 4 }], forgottenVars: [1] });
});

test("members that do not fit together make room for each other", () => {
  const kept = createKeptVars(7_000);
  const keeper = createKeeper();
  const vars = { a: textOf(3_000), b: textOf(3_001), c: textOf(3_002) };
  for (let times = 0; times < 3; times++) {
    expect(keeper.take(offer(kept, vars))).toEqual(vars);
    expect(keeper.bytes()).toBeLessThanOrEqual(7_000);
  }
});

test("a member that is larger than the worker's limit is sent each time, and pushes nothing out", () => {
  const kept = createKeptVars(5_000);
  const vars = { small: textOf(3_000), huge: textOf(5_001) };
  const first = offer(kept, vars);
  expect(first).toMatchObject({ largeVars: [{ id: 1 }, { id: 0, text: JSON.stringify(vars.huge) }] });
  expect(first.forgottenVars).toEqual([]);
  expect(offer(kept, vars).largeVars).toEqual([
    { name: "small", id: 1 },
    { name: "huge", id: 0, text: JSON.stringify(vars.huge) },
  ]);
  // It was kept, and has grown.
  expect(offer(kept, { small: textOf(5_001) }).forgottenVars).toEqual([1]);
});

test("bytes are those of UTF-8", () => {
  const kept = createKeptVars(6_000);
  expect(offer(kept, { a: "ü".repeat(2_999) }).largeVars).toMatchObject([{ id: 1 }]);
  expect(offer(kept, { a: "ü".repeat(3_000) }).largeVars).toMatchObject([{ id: 0 }]);
});

test("no more than 10,000 members are kept, however much room there is", () => {
  const kept = createKeptVars(1024 ** 3);
  const keeper = createKeeper();
  const vars = { a: textOf(2_100) };
  for (let run = 0; run < 10_050; run++) keeper.take(offer(kept, vars, `run-${run}`));
  expect(keeper.size()).toBe(10_000);
  expect(offer(kept, vars, "run-50").largeVars).toEqual([{ name: "a", id: 51 }]);
  expect(offer(kept, vars, "run-0").largeVars).toMatchObject([{ id: 10_051 }]);
});

test("characters are those of what is sent", () => {
  const kept = createKeptVars(10_000);
  const vars = { name: textOf(3_000) };
  const chars = (given: Given): number => offeredChars(given as OfferedJob);
  expect(chars(offer(undefined, vars))).toBeGreaterThan(3_000);
  expect(chars(offer(kept, vars))).toBeGreaterThan(3_000);
  expect(chars(offer(kept, vars))).toBeLessThan(200);
});

describe("whatever is offered", () => {
  const name = fc.constantFrom("a", "b", "c", "__proto__", "1");
  const value = fc.oneof(
    fc.integer({ min: 0, max: 9 }),
    fc.tuple(fc.integer({ min: 2_000, max: 6_000 }), fc.constantFrom("x", "ü")).map(([n, fill]) => fill.repeat(n)),
    fc.integer({ min: 2_000, max: 6_000 }).map((n) => ["y".repeat(n)]),
  );
  const entries = fc.uniqueArray(fc.tuple(name, value), { selector: ([key]) => key, maxLength: 4 });
  const offers = fc.array(fc.tuple(fc.constantFrom("r1", "r2", "r3"), entries, fc.boolean()), { maxLength: 40 });

  test("the worker has the right vars, and never keeps more than its limit", () => {
    fc.assert(
      fc.property(offers, fc.integer({ min: 1, max: 30_000 }), (sequence, bytesMax) => {
        const kept = createKeptVars(bytesMax);
        const keeper = createKeeper();
        const latest = new Map<string, string>();
        for (const [runId, members, changes] of sequence) {
          // Half of the time, the run goes on with the vars that it had.
          const known = changes ? undefined : latest.get(runId);
          const text = known ?? `{${members.map(([key, of]) => `"${key}":${JSON.stringify(of)}`).join(",")}}`;
          latest.set(runId, text);
          const vars = JSON.parse(text) as Json;
          const given = offer(kept, vars, runId);
          expect(JSON.stringify(keeper.take(given))).toBe(JSON.stringify(vars));
          expect(given.largeVars?.length ?? 0).toBe(largeMembersOf(vars).size);
          expect(keeper.bytes()).toBeLessThanOrEqual(bytesMax);
        }
      }),
    );
  });
});
