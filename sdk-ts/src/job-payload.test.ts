import { JobSchema } from "@abstractruntime/proto/worker_service_pb";
import { create, type JsonValue } from "@bufbuild/protobuf";
import { inspect } from "node:util";
import { afterEach, describe, expect, it, vi } from "vitest";

import { readHandlerInput } from "./job-payload.ts";

type Vars = Record<string, unknown>;

const DOCUMENTS = [{ text: "one" }, { text: "two" }];
const NOTES = "ünïcödé";

/** A handler's job as a server offers it, with these members sent separately. */
function jobOf(vars: object, large: Record<string, JsonValue | Uint8Array>) {
  return create(JobSchema, {
    payload: Buffer.from(JSON.stringify({ vars, run: {}, error: null, now: "2026-01-01T00:00:00Z" })),
    largeVars: Object.entries(large).map(([name, value]) => ({
      name,
      value: value instanceof Uint8Array ? value : Buffer.from(JSON.stringify(value)),
    })),
  });
}

function varsOf(...job: Parameters<typeof jobOf>): Vars {
  return readHandlerInput(jobOf(...job)).vars;
}

const givenVars = (): Vars =>
  varsOf({ n: 1, documents: null, last: true, notes: null, "7": 0 }, { documents: DOCUMENTS, notes: NOTES });
const WHOLE = { "7": 0, n: 1, documents: DOCUMENTS, last: true, notes: NOTES };

afterEach(() => {
  vi.restoreAllMocks();
});

describe("large members of vars", () => {
  it("are not read unless they are looked at, and then once", () => {
    const parse = vi.spyOn(JSON, "parse");
    const vars = givenVars();
    expect(Object.keys(vars)).toEqual(["7", "n", "documents", "last", "notes"]);
    expect("documents" in vars).toBe(true);
    expect(parse).toHaveBeenCalledTimes(1);
    expect(vars["documents"]).toEqual(DOCUMENTS);
    expect(vars["documents"]).toBe(vars["documents"]);
    expect(parse).toHaveBeenCalledTimes(2);
    expect(Object.getOwnPropertyDescriptor(vars, "documents")).toEqual({
      value: DOCUMENTS,
      enumerable: true,
      configurable: true,
      writable: true,
    });
  });

  it.each<[string, (vars: Vars) => unknown]>([
    ["JSON.stringify", (vars) => JSON.parse(JSON.stringify(vars)) as unknown],
    ["a spread", (vars) => ({ ...vars })],
    ["Object.entries", (vars) => Object.fromEntries(Object.entries(vars))],
    ["Object.assign", (vars) => Object.assign({}, vars)],
    ["structuredClone", (vars) => structuredClone(vars)],
    ["a loop", (vars) => Object.fromEntries(Object.keys(vars).map((name) => [name, vars[name]]))],
    ["vars themselves", (vars) => vars],
  ])("are there for %s, in their order", (_what, copy) => {
    const copied = copy(givenVars()) as object;
    expect(JSON.stringify(copied)).toBe(JSON.stringify(WHOLE));
    expect(copied).toEqual(WHOLE);
  });

  it("are shown as they are", () => {
    expect(inspect(givenVars())).toBe(inspect(WHOLE));
  });

  it("can be set, unread or read, and deleted", () => {
    const vars = givenVars();
    vars["documents"] = 1;
    expect(vars["notes"]).toBe(NOTES);
    vars["notes"] = 2;
    expect(JSON.stringify(vars)).toBe('{"7":0,"n":1,"documents":1,"last":true,"notes":2}');
    delete vars["documents"];
    expect("documents" in vars).toBe(false);
  });

  it("are there in vars that are frozen, and cannot be set", () => {
    const vars = Object.freeze(givenVars());
    expect(vars["documents"]).toEqual(DOCUMENTS);
    expect(vars["documents"]).toBe(vars["documents"]);
    expect(() => {
      (vars as Vars)["documents"] = 1;
    }).toThrow(TypeError);
    expect(vars["documents"]).toEqual(DOCUMENTS);
  });

  it("are set where they are set, not in the vars that an object inherits from", () => {
    const vars = givenVars();
    const derived = Object.create(vars) as Vars;
    derived["documents"] = 1;
    expect(derived["documents"]).toBe(1);
    expect(derived["notes"]).toBe(NOTES);
    expect(vars["documents"]).toEqual(DOCUMENTS);
  });

  it("are read anew for each job, which sees nothing of what another does", () => {
    const job = jobOf({ documents: null }, { documents: DOCUMENTS });
    const [one, other] = [readHandlerInput(job).vars, readHandlerInput(job).vars] as [Vars, Vars];
    (one["documents"] as unknown[]).push("more");
    expect(other["documents"]).toEqual(DOCUMENTS);
    expect(readHandlerInput(job).vars["documents"]).toEqual(DOCUMENTS);
  });

  it("may have any name", () => {
    const vars = JSON.parse('{"__proto__":null,"constructor":null}') as object;
    const given = varsOf(
      vars,
      Object.fromEntries([
        ["__proto__", [1]],
        ["constructor", [2]],
      ]) as Record<string, JsonValue>,
    );
    expect(JSON.stringify(given)).toBe('{"__proto__":[1],"constructor":[2]}');
    expect(Object.getPrototypeOf(given)).toBe(Object.prototype);
  });

  it.each([
    ["no JSON", Buffer.from("{")],
    ["no UTF-8", Uint8Array.of(0x22, 0xff, 0x22)],
  ])("that are %s fail the job that looks at them", (_what, bytes) => {
    const vars = varsOf({ n: 1, bad: null }, { bad: bytes });
    expect(vars["n"]).toBe(1);
    expect(() => vars["bad"]).toThrow(
      expect.objectContaining({ code: "PAYLOAD_INVALID", nonRetryable: true }) as Error,
    );
  });
});
