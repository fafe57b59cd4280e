import { callsOf, openWaitOf, sequelOf } from "../../server/src/core/run.ts";
import { createHash } from "node:crypto";
import * as fc from "fast-check";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { describe, expect, test } from "vitest";

import { compileWorkflow } from "../../server/src/core/compile/workflow.ts";
import { arbitraryGraph, arbitraryHappenings, arbitraryStart, playRun } from "../support/random-run.ts";
import { sealAndShow, showRun } from "../support/shown-ledger.ts";
import { runOf, type TestRun } from "../support/test-world.ts";
import { verifyLedger } from "./verify-ledger.ts";

type Proof = { headerJson: string; bodyJson: string; given?: string; salts: Record<string, string> };
type Shown = { seq: number; hash: string; kind: string; runId: string; proof: Proof } & Record<string, unknown>;

/** A run of seven records, two of which have given values. */
function sampleRun(runId = "run-1"): TestRun {
  const run = runOf(
    {
      count: { assign: { values: { count: "${vars.amount + 1}" } }, next: [{ to: "ask" }] },
      ask: {
        askUser: { prompt: "Pay ${vars.amount}?", choices: ["yes", "no"] },
        resultKey: "reply",
        next: [{ to: "tell" }],
      },
      tell: { emitEvent: { name: "paid", scope: "SCOPE_GLOBAL", payload: "${vars}" }, next: [{ to: "rest" }] },
      rest: { waitUntil: { after: "1h" } },
    },
    { runId, vars: { amount: 12.5, note: "for é🎉" }, actorId: "ada" },
  );
  run.answer({ answer: "yes" });
  run.world.pass(3_600_000);
  run.wake();
  return run;
}

function show(run: TestRun): Shown[] {
  return sealAndShow(run.records) as unknown as Shown[];
}

function hashOf(headerJson: string): string {
  return createHash("sha256").update("abstractruntime/step-record/v1\0").update(headerJson).digest("hex");
}

function digestOf(salt: string, text: string): string {
  return createHash("sha256")
    .update("abstractruntime/part/v1\0")
    .update(Buffer.from(salt, "base64"))
    .update(text)
    .digest("hex");
}

/** Replaces a record's header, and its hash accordingly. */
function reheader(record: Shown, change: (header: Record<string, unknown>) => Record<string, unknown>): void {
  record.proof.headerJson = JSON.stringify(change(JSON.parse(record.proof.headerJson) as Record<string, unknown>));
  record.hash = hashOf(record.proof.headerJson);
}

/** Replaces a record's body, with its digest and the header's hash accordingly. */
function rebody(record: Shown, change: (body: Record<string, unknown>) => Record<string, unknown>): void {
  record.proof.bodyJson = JSON.stringify(change(JSON.parse(record.proof.bodyJson) as Record<string, unknown>));
  const body = digestOf(record.proof.salts["body"]!, record.proof.bodyJson);
  reheader(record, (header) => ({ ...header, parts: { ...(header["parts"] as object), body } }));
}

/** Links all records after `from` again, which only the database's owner can do. */
function relink(records: Shown[], from: number): void {
  for (let i = from; i < records.length; i++) {
    reheader(records[i]!, (header) => ({ ...header, prev: i === 0 ? "0".repeat(64) : records[i - 1]!.hash }));
  }
}

/** The value as its JSON text has it: without prototypes and undefined members. */
function plain(value: unknown): object {
  return JSON.parse(JSON.stringify(value ?? {})) as object;
}

describe("an untouched ledger", () => {
  test("verifies and folds to the run's state", () => {
    const run = sampleRun();
    const shown = show(run);
    const verification = verifyLedger(shown, showRun(run.state));
    expect(verification).toMatchObject({ ok: true, problems: [], notes: [], records: 7, stateChecked: true });
    expect(verification.headHash).toBe(shown.at(-1)!.hash);
  });

  test("verifies while the run is under way, and against a run that was read a little earlier", () => {
    const run = sampleRun();
    const shown = show(run);
    for (let length = 1; length < shown.length; length++) {
      const head = { seq: length, hash: shown[length - 1]!.hash };
      const part = shown.slice(0, length);
      expect(verifyLedger(part, undefined, { head })).toMatchObject({ ok: true, stateChecked: true, endChecked: true });
      // Whether records are missing at its end, nobody can tell.
      expect(verifyLedger(part)).toMatchObject({ verdict: "unfinished", problems: [], stateChecked: true });
    }
    const earlier = runOf({ ask: { askUser: { prompt: "?" } } }, { runId: "run-1" });
    const state = showRun(earlier.state);
    earlier.answer({ answer: 1 });
    expect(verifyLedger(show(earlier), state)).toMatchObject({ ok: true, stateChecked: true });
  });

  test("does not verify against the state of another run", () => {
    const run = sampleRun();
    const other = { ...(showRun(run.state) as object), vars: { amount: 12.5 }, paused: true };
    expect(verifyLedger(show(run), other).problems).toEqual([
      expect.stringMatching(/^the run's paused is true, but its ledger says false$/),
      expect.stringMatching(/^the run's vars is .*, but its ledger says/),
    ]);
  });
});

type Attack = [name: string, attack: (records: Shown[], other: Shown[]) => Shown[] | void, problem: RegExp];

const attacks: Attack[] = [
  [
    "a byte of a header is edited",
    (records) => {
      const proof = records[2]!.proof;
      proof.headerJson = proof.headerJson.replace(/"time":"2026-03-01T09/, '"time":"2026-03-01T08');
    },
    /^record 3: its header's hash is [0-9a-f]{64}, not/,
  ],
  [
    "a header gets a blank",
    (records) => {
      records[2]!.proof.headerJson += " ";
    },
    /^record 3: its header's hash is/,
  ],
  [
    "a header is edited and hashed anew",
    (records) => reheader(records[2]!, (h) => ({ ...h, note: 1 })),
    /^record 4: its prev/,
  ],
  [
    "a body is edited",
    (records) => {
      const proof = records[1]!.proof;
      proof.bodyJson = proof.bodyJson.replace("13.5", "14.5");
    },
    /^record 2: its part body is not/,
  ],
  [
    "a body is edited, its digest and hash too",
    (records) => rebody(records[1]!, (body) => ({ ...body, to: "done" })),
    /^record 3: its prev is not the hash/,
  ],
  [
    "what was given is edited",
    (records) => {
      records[3]!.proof.given = Buffer.from('{"answer":"no"}').toString("base64");
    },
    /^record 4: its part given is not/,
  ],
  [
    "two bodies are swapped",
    (records) => {
      const [a, b] = [records[1]!.proof, records[4]!.proof];
      [a.bodyJson, b.bodyJson] = [b.bodyJson, a.bodyJson];
      [a.salts, b.salts] = [b.salts, a.salts];
    },
    /^record 2: its part body is not/,
  ],
  [
    "what was given at the start and in the answer is swapped",
    (records) => {
      const [a, b] = [records[0]!.proof, records[3]!.proof];
      [a.given, b.given] = [b.given!, a.given!];
      [a.salts["given"], b.salts["given"]] = [b.salts["given"]!, a.salts["given"]!];
    },
    /^record 1: its part given is not/,
  ],
  [
    "a body is shown as what was given",
    (records) => {
      const { proof } = records[1]!;
      proof.given = Buffer.from(proof.bodyJson).toString("base64");
      proof.salts["given"] = proof.salts["body"]!;
    },
    /^record 2: it shows a part given that its header does not have/,
  ],
  ["a record in the middle is dropped", (records) => void records.splice(3, 1), /^record 4: its prev is not the hash/],
  ["the first record is dropped", (records) => void records.splice(0, 1), /^record 1: its prev is not the hash/],
  [
    "two records change places",
    (records) => {
      [records[2], records[3]] = [records[3]!, records[2]!];
    },
    /^record 3: its seq is 4: the ledger has a gap, or was reordered/,
  ],
  [
    "a record is shown twice",
    (records) => void records.splice(3, 0, structuredClone(records[3]!)),
    /^record 5: its seq is 4/,
  ],
  [
    "a record is inserted, numbered and linked",
    (records) => {
      const inserted = structuredClone(records[1]!);
      reheader(inserted, (header) => ({ ...header, seq: 3, prev: records[1]!.hash }));
      inserted.seq = 3;
      records.splice(2, 0, inserted);
    },
    /^record 4: its prev is not the hash/,
  ],
  [
    "a salt is changed",
    (records) => {
      records[1]!.proof.salts["body"] = Buffer.alloc(16, 7).toString("base64");
    },
    /^record 2: its part body is not/,
  ],
  [
    "a salt is lengthened by bytes of the body",
    (records) => {
      const { proof } = records[1]!;
      proof.salts["body"] = Buffer.concat([
        Buffer.from(proof.salts["body"]!, "base64"),
        Buffer.from(proof.bodyJson.slice(0, 1)),
      ]).toString("base64");
      proof.bodyJson = proof.bodyJson.slice(1);
    },
    /^record 2: the salt of its part body is not 16 bytes/,
  ],
  [
    "a record of another run takes a place",
    (records, other) => {
      records[2] = other[2]!;
    },
    /^record 3: its prev is not the hash/,
  ],
  [
    "a record of another run is linked in",
    (records, other) => {
      const { proof } = other[6]!;
      reheader(other[6]!, (header) => ({ ...header, prev: records[5]!.hash }));
      records[6] = { ...other[6]!, proof };
    },
    /^record 7: it belongs to the run "run-2"/,
  ],
  [
    "a record of another tenant is linked in",
    (records) => reheader(records[6]!, (header) => ({ ...header, tenant_id: "evil" })),
    /^record 7: it belongs to the tenant "evil"/,
  ],
  [
    "the tail of another run goes on after a head of this one",
    (records, other) => [...records.slice(0, 3), ...other.slice(3)],
    /^record 4: its prev is not the hash/,
  ],
  [
    "a name appears twice in a header, the second with another value",
    (records) => {
      const record = records[6]!;
      record.proof.headerJson = record.proof.headerJson.replace('"v":1,', '"v":1,"kind":"run.failed",');
      record.hash = hashOf(record.proof.headerJson);
    },
    /^record 7: the name "kind" appears twice/,
  ],
  [
    "a name appears twice in a body",
    (records) => {
      const record = records[6]!;
      record.proof.bodyJson = record.proof.bodyJson.replace("{", '{"status":"failed",');
      const body = digestOf(record.proof.salts["body"]!, record.proof.bodyJson);
      reheader(record, (header) => ({ ...header, parts: { body } }));
    },
    /^record 7: the name "status" appears twice/,
  ],
  [
    "time goes back at the end",
    (records) => {
      reheader(records[6]!, (header) => ({ ...header, time: "2026-03-01T08:00:00.000000Z" }));
      records[6]!["time"] = "2026-03-01T08:00:00Z";
    },
    /^record 7: its time is before/,
  ],
  [
    "the time that a record shows is another",
    (records) => {
      records[6]!["time"] = "2026-03-01T08:00:00Z";
    },
    /^record 7: the time that it shows is not/,
  ],
  [
    "the kind that a record shows is another",
    (records) => {
      records[6]!.kind = "run.failed";
    },
    /^record 7: the kind that it shows is not/,
  ],
  [
    "the hash that a record shows is another",
    (records) => {
      records[6]!.hash = records[5]!.hash;
    },
    /^record 7: its header's hash is/,
  ],
  [
    "a proof is missing",
    (records) => {
      delete (records[6] as Partial<Shown>).proof;
    },
    /^record 7: it has no proof/,
  ],
  [
    "a record after the end, properly linked",
    (records) => {
      const more = structuredClone(records[1]!);
      reheader(more, (header) => ({ ...header, seq: 8, prev: records[6]!.hash, time: "2027-01-01T00:00:00.000000Z" }));
      records.push(Object.assign(more, { seq: 8, time: "2027-01-01T00:00:00Z" }));
    },
    /^record 8: it comes after the run's end/,
  ],
  [
    "the history of a run is started anew, properly linked",
    (records) => {
      records.length = 3;
      const again = structuredClone(records[0]!);
      reheader(again, (header) => ({ ...header, seq: 4, prev: records[2]!.hash }));
      records.push(Object.assign(again, { seq: 4 }));
    },
    /^record 4: run\.started is the first record and only the first/,
  ],
  [
    "an effect's key is that of another place, properly linked",
    (records) => {
      const key = (JSON.parse(records[4]!.proof.headerJson) as Record<string, unknown>)["idempotency_key"];
      reheader(records[2]!, (header) => ({ ...header, idempotency_key: key }));
      records[2]!["idempotencyKey"] = key;
      relink(records, 3);
    },
    /^record 3: its idempotency_key is not that of its place/,
  ],
  [
    "a wait's id is another, properly linked",
    (records) => {
      rebody(records[2]!, (body) => ({ ...body, wait: { ...(body["wait"] as object), wait_id: "a".repeat(26) } }));
      relink(records, 3);
    },
    /^record 3: its wait_id is not that of its place/,
  ],
  [
    "a patch that does not fit, properly linked",
    (records) => {
      rebody(records[1]!, (body) => ({ ...body, patch: [{ op: "set", path: "/amount/x", value: 1 }] }));
      relink(records, 2);
    },
    /^record 2: a path that leads through a scalar/,
  ],
  [
    "a digest is taken out of the header, properly linked",
    (records) => {
      reheader(records[1]!, (header) => ({ ...header, parts: {} }));
      relink(records, 2);
    },
    /^record 2: its header has no digest of a body/,
  ],
  [
    "a header says a later version of the format",
    (records) => {
      reheader(records[6]!, (header) => ({ ...header, v: 2 }));
    },
    /^record 7: its format is version 2/,
  ],
  ["every record is dropped", () => [], /^there are no records/],
  [
    "prev is missing",
    (records) => reheader(records[6]!, ({ prev: _prev, ...header }) => header),
    /^record 7: its prev is not the hash/,
  ],
  [
    "a header is written in another form",
    (records) => {
      const record = records[6]!;
      record.proof.headerJson = record.proof.headerJson.replace('"v":1,', '"v": 1,');
      record.hash = hashOf(record.proof.headerJson);
    },
    /^record 7: its header is not in the form/,
  ],
  [
    "a header has its keys in another order",
    (records) => reheader(records[6]!, ({ v, ...header }) => ({ ...header, v })),
    /^record 7: its header is not in the form/,
  ],
  [
    "a kind is no text",
    (records) => {
      reheader(records[6]!, (header) => ({ ...header, kind: null }));
      delete (records[6] as Partial<Shown>).kind;
    },
    /^record 7: its header's kind is null/,
  ],
  [
    "a time is none of the calendar",
    (records) => {
      reheader(records[6]!, (header) => ({ ...header, time: "2026-13-01T00:00:00.000000Z" }));
      delete records[6]!["time"];
    },
    /^record 7: its time .* is not UTC/,
  ],
  [
    "a body lacks what its kind must have, properly linked",
    (records) => {
      rebody(records[2]!, ({ wait: _wait, ...body }) => body);
      relink(records, 3);
    },
    /^record 3: its body has no wait/,
  ],
  [
    "a body is no object, properly linked",
    (records) => {
      rebody(records[2]!, () => [] as never);
      relink(records, 3);
    },
    /^record 3: its body is not an object/,
  ],
  [
    "an effect has no key, properly linked",
    (records) => {
      reheader(records[2]!, ({ idempotency_key: _key, ...header }) => header);
      delete records[2]!["idempotencyKey"];
      relink(records, 3);
    },
    /^record 3: its idempotency_key is not that of its place/,
  ],
  [
    "a set of nothing, properly linked",
    (records) => {
      rebody(records[1]!, (body) => ({ ...body, patch: [{ op: "set", path: "/amount" }] }));
      relink(records, 2);
    },
    /^record 2: a set of nothing/,
  ],
  [
    "an append of what is no list, properly linked",
    (records) => {
      rebody(records[1]!, (body) => ({ ...body, patch: [{ op: "append", path: "/list", of: "given" }] }));
      relink(records, 2);
    },
    /^record 2: nothing at the root of what was given/,
  ],
];

/** A run of two parallel calls, each with its own records: 3 is a retry of the second, 4 and 5 are their ends. */
function callingRun(): TestRun {
  const run = runOf({ it: { toolCalls: { calls: [{ name: "a" }, { name: "b" }] } } });
  run.settleCalls({ ordinal: 1, failure: { code: "AWAY", message: "no answer" } });
  run.settleCalls({ output: 1 });
  run.settleCalls({ ordinal: 1, output: 2 });
  return run;
}

/** Changes what a record about a call says, also in its header if it is shown there. */
function changeHeader(record: Shown, name: string, shown: string, value: unknown): void {
  reheader(record, (header) => ({ ...header, [name]: value }));
  record[shown] = value;
}

/** Returns the index of the first record whose link must be repaired. */
type CallAttack = [name: string, attack: (records: Shown[]) => number, problem: RegExp];

const callAttacks: CallAttack[] = [
  [
    "an end is given to the other call",
    (records) => {
      rebody(records[3]!, (body) => ({ ...body, call: { ordinal: 1 } }));
      return 4;
    },
    /^record 4: its idempotency_key is not that of its call/,
  ],
  [
    "a call comes back twice",
    (records) => {
      changeHeader(records[4]!, "idempotency_key", "idempotencyKey", records[3]!["idempotencyKey"]);
      rebody(records[4]!, (body) => ({ ...body, call: { ordinal: 0 } }));
      return 5;
    },
    /^record 5: its call 0 has come back before/,
  ],
  [
    "an end is that of another attempt",
    (records) => {
      changeHeader(records[4]!, "attempt", "attempt", 1);
      return 5;
    },
    /^record 5: its attempt is not the one that was under way/,
  ],
  [
    "an end is that of a call that there is not",
    (records) => {
      rebody(records[3]!, (body) => ({ ...body, call: { ordinal: 2 } }));
      return 4;
    },
    /^record 4: there is no call 2 that it could be about/,
  ],
  [
    "a call's key is that of another place",
    (records) => {
      const calls = [{ ordinal: 0, kind: "tool", name: "a", idempotency_key: "a".repeat(52) }];
      rebody(records[1]!, (body) => ({ ...body, calls }));
      return 2;
    },
    /^record 2: the key of its call 0 is not that of its place/,
  ],
];

describe("a check that ends early is not content", () => {
  /** An unknown kind in the place of the answer, in a chain that was built anew. */
  function hidingAnswer(): { run: TestRun; records: Shown[] } {
    const run = sampleRun();
    const records = show(run);
    reheader(records[3]!, (header) => ({ ...header, kind: "step.dreamed" }));
    records[3]!.kind = "step.dreamed";
    relink(records, 4);
    return { run, records };
  }

  test("an unknown kind that hides an answer", () => {
    const { run, records } = hidingAnswer();
    const verification = verifyLedger(records, showRun(run.state));
    expect(verification).toMatchObject({ verdict: "unfinished", ok: false, stateChecked: false, problems: [] });
    expect(verification.notes).toEqual(['record 4: the kind "step.dreamed" is not known']);
  });

  test.each([
    ["no seq", { seq: undefined }],
    ["a seq that is none", { seq: "many" }],
    ["the id of another run", { runId: "run-9" }],
  ])("a run to compare with that has %s", (_, facts) => {
    const run = sampleRun();
    const verification = verifyLedger(show(run), { ...(showRun(run.state) as object), ...facts });
    expect(verification.verdict).toBe("broken");
  });

  test("a ledger of another tenant than the one that was asked for", () => {
    const records = show(sampleRun());
    expect(verifyLedger(records, undefined, { tenantId: "other" }).problems[0]).toMatch(/belongs to the tenant/);
  });

  test("a graph that is not the one that the first record names", () => {
    const run = runOf({ ask: { askUser: { prompt: "ü?" } } });
    const { definition } = run.workflow;
    const records = show(run);
    const shownRun = showRun(run.state);
    const workflow = { ...definition, version: 1, digest: "0", labels: { a: "b" }, createTime: "x", current: true };
    expect(verifyLedger(records, shownRun, { workflow })).toMatchObject({ ok: true, workflowChecked: true });
    const changed = { ...workflow, nodes: { ask: { askUser: { prompt: "u?" } } } };
    expect(verifyLedger(records, shownRun, { workflow: changed }).problems).toEqual([
      expect.stringMatching(/^the graph's digest is [0-9a-f]{64}, not "[0-9a-f]{64}"$/),
    ]);
    expect(verifyLedger(records, shownRun)).toMatchObject({ ok: true, workflowChecked: false });
  });

  test.each([
    ["whole", 0],
    ["broken", 1],
    ["unfinished", 3],
  ])("the script tells by its exit code that a ledger is %s", async (verdict, code) => {
    const { run, records } =
      verdict === "unfinished" ? hidingAnswer() : { run: sampleRun(), records: show(sampleRun()) };
    if (verdict === "broken") records.pop();
    const { definition } = run.workflow;
    const replies: Record<string, unknown> = {
      GetRun: { run: showRun(run.state) },
      ListStepRecords: { stepRecords: verdict === "whole" ? show(run) : records },
      GetWorkflow: { workflow: definition },
    };
    const server = createServer((request, response) => {
      response.end(JSON.stringify(replies[request.url!.split("/").at(-1)!]));
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const script = join(import.meta.dirname, "verify-ledger.ts");
    const child = spawn(process.execPath, [script, "--server", url, "run-1"], { stdio: ["ignore", "pipe", "inherit"] });
    const printed = await text(child.stdout);
    const [exitCode] = (await once(child, "close")) as [number];
    server.close();
    expect(JSON.parse(printed)).toMatchObject({ verdict, ok: code === 0 });
    expect(exitCode).toBe(code);
  });
});

describe("attacks", () => {
  test.each(attacks)("%s", (_name, attack, problem) => {
    const records = show(sampleRun());
    const attacked = attack(records, show(sampleRun("run-2"))) ?? records;
    const verification = verifyLedger(attacked);
    expect(verification.ok).toBe(false);
    expect(verification.problems).toContainEqual(expect.stringMatching(problem));
  });

  test.each(callAttacks)("%s, properly linked", (_name, attack, problem) => {
    const records = show(callingRun());
    expect(verifyLedger(records)).toMatchObject({ problems: [], stateChecked: true });
    relink(records, attack(records));
    const verification = verifyLedger(records);
    expect(verification.ok).toBe(false);
    expect(verification.problems).toContainEqual(expect.stringMatching(problem));
  });

  test("every single character of every header counts", () => {
    const records = show(sampleRun());
    for (const record of records) {
      const { headerJson } = record.proof;
      for (let at = 0; at < headerJson.length; at++) {
        const other = headerJson[at] === "0" ? "1" : "0";
        record.proof.headerJson = headerJson.slice(0, at) + other + headerJson.slice(at + 1);
        if (verifyLedger(records).ok) expect.fail(`character ${at} of record ${record.seq} does not count`);
      }
      record.proof.headerJson = headerJson;
    }
    expect(verifyLedger(records).ok).toBe(true);
  });

  test("a ledger that lost its end is recognised only by the run's state", () => {
    const run = sampleRun();
    const cut = show(run).slice(0, 5);
    expect(verifyLedger(cut)).toMatchObject({ verdict: "unfinished", problems: [], endChecked: false });
    const missing = ["the run has 7 records, 5 are here: the end of the ledger is missing"];
    expect(verifyLedger(cut, showRun(run.state)).problems).toEqual(missing);
    expect(verifyLedger(cut, undefined, { head: { seq: 7, hash: show(run).at(-1)!.hash } }).problems).toEqual(missing);
  });

  test("a ledger that was rebuilt as a whole is recognised only by an earlier hash", () => {
    const run = sampleRun();
    const records = show(run);
    const kept = records.at(-1)!.hash;
    rebody(records[6]!, (body) => ({ ...body, output: { value: { said: "no" } } }));
    const verification = verifyLedger(records);
    expect(verification.ok).toBe(true);
    expect(verification.headHash).not.toBe(kept);
    expect(verifyLedger(records, undefined, { head: { seq: 7, hash: kept } }).problems).toEqual([
      "record 7: its hash is not the one that was kept",
    ]);
    expect(verifyLedger(records, showRun(run.state)).problems[0]).toMatch(/^the run's output is/);
  });
});

describe("what later releases and erasure leave behind", () => {
  test("erased payloads: the chain verifies, the state cannot be checked", () => {
    const run = sampleRun();
    const records = show(run);
    records[1]!.proof.bodyJson = "";
    delete records[3]!.proof.given;
    const verification = verifyLedger(records, showRun(run.state));
    expect(verification).toMatchObject({ verdict: "unfinished", problems: [], stateChecked: false, erased: 2 });
    expect(verification.notes).toEqual(["record 2: its body was erased", "record 4: what was given was erased"]);
  });

  test("unknown keys pass, in the header and in the body; unknown parts are not checked", () => {
    const run = sampleRun();
    const records = show(run);
    rebody(records[1]!, (body) => ({ ...body, later: { a: [1] } }));
    reheader(records[1]!, (header) => ({
      ...header,
      later: "x",
      parts: { ...(header["parts"] as object), statement: "f".repeat(64) },
    }));
    relink(records, 2);
    const verification = verifyLedger(records, showRun(run.state));
    expect(verification).toMatchObject({ verdict: "unfinished", problems: [], stateChecked: true });
    expect(verification.notes).toEqual(['record 2: the part "statement" is not known']);
  });

  test("an unknown operation passes, but the state after it is not known", () => {
    const run = sampleRun();
    const records = show(run);
    rebody(records[1]!, (body) => ({ ...body, patch: [{ op: "rename", path: "/amount", to: "/sum" }] }));
    relink(records, 2);
    const verification = verifyLedger(records, showRun(run.state));
    expect(verification).toMatchObject({ verdict: "unfinished", problems: [], stateChecked: false });
    expect(verification.notes).toEqual(['record 2: the operation "rename" is not known']);
  });

  test("an unknown source passes, but the state after it is not known", () => {
    const run = sampleRun();
    const records = show(run);
    rebody(records[1]!, (body) => ({ ...body, patch: [{ op: "set", path: "/amount", of: "dreams" }] }));
    relink(records, 2);
    const verification = verifyLedger(records, showRun(run.state));
    expect(verification).toMatchObject({ verdict: "unfinished", problems: [], stateChecked: false });
    expect(verification.notes).toEqual(['record 2: the source "dreams" is not known']);
  });

  test.each(["run.retried", "run.restored"])("%s may follow an end, and lets the run go on to another one", (kind) => {
    const records = show(sampleRun());
    const end = records.at(-1)!;
    for (const [seq, after] of [
      [8, { kind }],
      [9, {}],
    ] as const) {
      const more = structuredClone(end);
      const prev = records.at(-1)!.hash;
      reheader(more, (header) => ({ ...header, ...after, seq, prev }));
      records.push(Object.assign(more, { ...after, seq }));
    }
    const verification = verifyLedger(records);
    expect(verification).toMatchObject({ verdict: "unfinished", problems: [], stateChecked: false });
    expect(verification.notes).toEqual([`record 8: the kind "${kind}" is not known`]);
  });

  test("an unknown kind passes, but the state after it is not known", () => {
    const run = sampleRun();
    const records = show(run);
    reheader(records[4]!, (header) => ({ ...header, kind: "run.dreamed" }));
    records[4]!.kind = "run.dreamed";
    relink(records, 5);
    const verification = verifyLedger(records, showRun(run.state));
    expect(verification).toMatchObject({ verdict: "unfinished", problems: [], stateChecked: false });
    expect(verification.notes).toEqual(['record 5: the kind "run.dreamed" is not known']);
  });
});

// The verifier's fold is written from the document; core's is what the server runs. They must agree on everything.
test("promise 9: random ledgers verify, and fold to core's states", () => {
  let compared = 0;
  fc.assert(
    fc.property(arbitraryGraph, arbitraryStart, arbitraryHappenings, (definition, start, happenings) => {
      let workflow;
      try {
        workflow = compileWorkflow(definition, 1);
      } catch {
        return;
      }
      const run = playRun(workflow, start, happenings);
      if (run === undefined) return;
      const verification = verifyLedger(show(run), showRun(run.state));
      expect(verification.problems).toEqual([]);
      expect(verification).toMatchObject({ notes: [], stateChecked: true });
      // What GetRun does not show.
      const { cursors, cancelling, deadlineTime, epoch } = run.state;
      expect(plain(verification.state)).toMatchObject(plain({ cursors, cancelling, epoch }));
      expect(plain(verification.state?.calls)).toEqual(plain(callsOf(run.state)));
      expect(plain(verification.state?.wait)).toEqual(plain(openWaitOf(run.state)));
      expect(plain(verification.state?.sequel)).toEqual(plain(sequelOf(run.state)));
      expect(verification.state?.deadlineTime).toBe(deadlineTime);
      compared += 1;
    }),
    { numRuns: 600 },
  );
  expect(compared).toBeGreaterThan(200);
});
