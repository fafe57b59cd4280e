import { ScopeSchema } from "@abstractruntime/proto/event_pb";
import { RunStatus, RunStatusSchema } from "@abstractruntime/proto/run_pb";
import { describe, expect, it } from "vitest";

import { UsageError } from "./failure.ts";
import {
  enumShortNames,
  readDurationMs,
  readEnums,
  readInstant,
  readInteger,
  readJson,
  readJsonObject,
  readLabels,
  readLooseValue,
  withAssignments,
} from "./values.ts";

const piped = (text: string) => () => Promise.resolve(text);

describe("readLooseValue", () => {
  it.each([
    ["12", 12],
    ["-1.5e2", -150],
    ["true", true],
    ["null", null],
    ['"12"', "12"],
    ['{"a": [1]}', { a: [1] }],
    ["Ada", "Ada"],
    ["", ""],
    ["007", "007"],
    ["1.2.3", "1.2.3"],
    ["truely", "truely"],
    ["2026-01-01", "2026-01-01"],
    ["+49 30", "+49 30"],
  ])("reads %j", (text, value) => {
    expect(readLooseValue("--var", text)).toEqual(value);
  });

  it.each([["9007199254740993"], ["{broken}"], ['{"a": 1, "a": 2}'], ["1e999"]])(
    "refuses %j rather than guess",
    (text) => {
      expect(() => readLooseValue("--var x", text)).toThrow(/^--var x: (NUMBER_NOT_EXACT|PAYLOAD_INVALID): /);
    },
  );
});

describe("withAssignments", () => {
  it("sets names and paths over what is given, and leaves that alone", () => {
    const given = { order: { id: "a", n: 1 }, x: 1 };
    expect(withAssignments("--var", given, ["order.n=2", "order.to.city=Bonn", "x=y=z"])).toEqual({
      order: { id: "a", n: 2, to: { city: "Bonn" } },
      x: "y=z",
    });
    expect(given).toEqual({ order: { id: "a", n: 1 }, x: 1 });
  });

  it.each([["x"], ["=1"], ["a..b=1"], ["__proto__.x=1"], ["x.y=1"]])("refuses %s", (text) => {
    expect(() => withAssignments("--var", { x: 1 }, [text])).toThrow(UsageError);
  });

  it("takes names that Object has for its own", () => {
    expect(withAssignments("--var", {}, ["constructor.a=1"])).toEqual({ constructor: { a: 1 } });
  });
});

describe("readJson", () => {
  it("reads text, and what is piped in", async () => {
    expect(await readJson("--payload", "[1]", piped(""))).toEqual([1]);
    expect(await readJson("--payload", "-", piped('"x"'))).toBe("x");
  });

  it("names the option in its refusals", async () => {
    await expect(readJson("--payload", "{", piped(""))).rejects.toThrow(/^--payload: PAYLOAD_INVALID: /);
    await expect(readJson("--payload", "@/nowhere.json", piped(""))).rejects.toThrow(
      "--payload: cannot read /nowhere.json: no such file or directory",
    );
    await expect(readJsonObject("--vars", "[]", piped(""))).rejects.toThrow(/^--vars must be a JSON object/);
  });
});

describe("readDurationMs", () => {
  it.each([
    ["500ms", 500],
    ["1.5s", 1_500],
    ["15m", 900_000],
    ["72h", 259_200_000],
    ["3d", 259_200_000],
    ["0s", 0],
  ])("reads %s", (text, ms) => expect(readDurationMs("--timeout", text)).toBe(ms));

  it.each([[""], ["5"], ["s"], ["-1s"], ["1 s"], ["1w"], ["99999999999999999d"]])("refuses %j", (text) => {
    expect(() => readDurationMs("--timeout", text)).toThrow(UsageError);
  });
});

describe("readInstant", () => {
  const now = new Date("2026-01-01T00:00:00Z");
  it.each([
    ["2026-12-24T18:00:00Z", "2026-12-24T18:00:00.000Z"],
    ["2026-12-24T18:00:00.5+02:00", "2026-12-24T16:00:00.500Z"],
    ["+15m", "2026-01-01T00:15:00.000Z"],
  ])("reads %s", (text, instant) => expect(readInstant("--start-at", text, now).toISOString()).toBe(instant));

  it.each([["2026-12-24"], ["2026-12-24T18:00:00"], ["tomorrow"], ["2026-13-01T00:00:00Z"], ["+soon"]])(
    "refuses %j",
    (text) => {
      expect(() => readInstant("--start-at", text, now)).toThrow(UsageError);
    },
  );
});

describe("readInteger", () => {
  it("keeps to its bounds", () => {
    expect(readInteger("--limit", "7", { min: 1, max: 7 })).toBe(7);
    for (const text of ["0", "8", "-1", "1.5", "", "x", "1e3"]) {
      expect(() => readInteger("--limit", text, { min: 1, max: 7 })).toThrow(UsageError);
    }
  });
});

describe("readEnums", () => {
  it("takes short and full names, several at once, each once", () => {
    const statuses = readEnums("--status", RunStatusSchema, ["waiting,FAILED", "RUN_STATUS_WAITING"]);
    expect(statuses).toEqual([RunStatus.WAITING, RunStatus.FAILED]);
  });

  it("says what may be said", () => {
    expect(() => readEnums("--scope", ScopeSchema, ["unspecified"])).toThrow(
      "--scope unspecified: must be one of run, session, workflow, global",
    );
    expect(enumShortNames(ScopeSchema)).toEqual(["run", "session", "workflow", "global"]);
  });
});

describe("readLabels", () => {
  it("reads name=value and refuses a name twice", () => {
    expect(readLabels("--label", ["a=1", "b=x=y", "c="])).toEqual({ a: "1", b: "x=y", c: "" });
    expect(() => readLabels("--label", ["a=1", "a=2"])).toThrow("--label a is given twice");
    expect(() => readLabels("--label", ["a"])).toThrow("--label a: must be name=value");
  });
});
