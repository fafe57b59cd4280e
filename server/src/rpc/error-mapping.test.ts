import { readFileSync } from "node:fs";
import { ErrorReasonSchema } from "@abstractruntime/proto/error_reason_pb";
import {
  RuntimeService,
  StartRunsResponseSchema,
  StartRunsRequestSchema,
} from "@abstractruntime/proto/runtime_service_pb";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import pino from "pino";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DomainError, type ErrorReason } from "../core/errors.ts";
import { CODE_BY_REASON, refusalMessage, refusalToConnectError, toConnectError } from "./error-mapping.ts";
import { createFakeEngine } from "../../../tests/support/fake-engine.ts";
import { PROTOCOLS, rawCall } from "../../../tests/support/raw-client.ts";
import { createRpcServer, type RpcServer } from "./server.ts";

const REASONS = Object.keys(CODE_BY_REASON) as ErrorReason[];
const GET_RUN = `/${RuntimeService.typeName}/GetRun`;
const START_RUNS = `/${RuntimeService.typeName}/StartRuns`;

let thrown: unknown;
const logged: string[] = [];
const engine = createFakeEngine({
  getRun: async () => {
    throw thrown;
  },
});
let server: RpcServer;
let url: string;

beforeAll(async () => {
  const log = pino({ level: "debug" }, { write: (line: string) => void logged.push(line) });
  server = createRpcServer({ engine, config: { listen: { host: "127.0.0.1", port: 0 }, hosts: [], origins: [] }, log });
  ({ url } = await server.listen());
});
afterAll(() => server.close(0));

function getRun(protocol: (typeof PROTOCOLS)[number]) {
  const isJson = protocol.endsWith("json");
  const message = isJson ? Buffer.from('{"runId":"run-1"}') : Buffer.from([0x0a, 5, ...Buffer.from("run-1")]);
  return rawCall(url, { protocol, path: GET_RUN, message });
}

describe("the table", () => {
  test("has exactly the reasons that the contract documents", () => {
    const documented = ErrorReasonSchema.values.filter(({ number }) => number !== 0).map(({ localName }) => localName);
    expect(documented.toSorted()).toEqual(REASONS.toSorted());
  });

  describe.each(PROTOCOLS)("over %s", (protocol) => {
    test.each(REASONS)("%s", async (reason) => {
      thrown = new DomainError(reason, "because", { metadata: { run_id: "run-1" } });
      const reply = await getRun(protocol);
      expect(reply).toMatchObject({
        code: CODE_BY_REASON[reason],
        message: "because",
        reason,
        domain: "abstractruntime",
        metadata: { run_id: "run-1" },
      });
      const isLimit = reason === "OVERLOADED" || reason === "STREAM_TOO_SLOW";
      expect(reply.retryDelayMs).toBe(isLimit ? 1_000 : undefined);
    });

    test("problems are in BadRequest, the first three in the message", async () => {
      const problems = ["a", "b", "c", "d", "e"].map((path) => ({ path, message: `no ${path}` }));
      thrown = new DomainError("WORKFLOW_INVALID", "The workflow has 5 problem(s).", { problems });
      const reply = await getRun(protocol);
      expect(reply.fields).toEqual(["a", "b", "c", "d", "e"]);
      expect(reply.message).toBe("The workflow has 5 problem(s): a: no a; b: no b; c: no c; and 2 more");
      expect(reply.metadata).toEqual({ problems: "5" });
    });

    test("a refusal's own delay is sent", async () => {
      thrown = new DomainError("OVERLOADED", "full", { retryAfterMs: 2_500 });
      expect(await getRun(protocol)).toMatchObject({ retryDelayMs: 2_500 });
    });

    test("a bug is hidden from the caller and logged", async () => {
      thrown = new TypeError("secret of the house");
      logged.length = 0;
      const reply = await getRun(protocol);
      expect(reply).toMatchObject({ code: Code.Internal, message: "internal error" });
      expect(reply.body.toString()).not.toContain("secret");
      expect(logged.join("")).toContain("secret of the house");
    });

    test("a hundred long problems do not break the reply", async () => {
      const problems = Array.from({ length: 100 }, (_, i) => ({ path: `nodes.n${i}`, message: "x".repeat(500) }));
      thrown = new DomainError("WORKFLOW_INVALID", "bad", { problems });
      const reply = await getRun(protocol);
      expect(reply).toMatchObject({
        code: Code.InvalidArgument,
        reason: "WORKFLOW_INVALID",
        metadata: { problems: "100" },
      });
      const isNative = protocol === "grpc" || protocol === "grpc-json";
      expect(reply.fields.length).toBe(isNative ? 7 : 100);
    });

    test("text that is invalid in a header does not break the reply", async () => {
      thrown = new DomainError("RUN_UNKNOWN", "lone \ud800, line\nbreak, ü");
      expect(await getRun(protocol)).toMatchObject({ reason: "RUN_UNKNOWN", message: "lone \ufffd, line\nbreak, ü" });
    });
  });
});

test("refusals in a batch are in its results", async () => {
  const refusing = createFakeEngine({
    startRuns: async () => [new DomainError("RUN_EXISTS", "taken", { metadata: { run_id: "r" } })],
  });
  const config = { listen: { host: "127.0.0.1", port: 0 }, hosts: [], origins: [] };
  const other = createRpcServer({ engine: refusing, config, log: pino({ level: "silent" }) });
  const { url: otherUrl } = await other.listen();
  const message = toBinary(
    StartRunsRequestSchema,
    create(StartRunsRequestSchema, { requests: [{ workflowId: "flow" }] }),
  );
  const reply = await rawCall(otherUrl, { protocol: "grpc", path: START_RUNS, message });
  const { results } = fromBinary(StartRunsResponseSchema, reply.messages[0] ?? new Uint8Array());
  expect(results[0]?.result).toMatchObject({
    case: "error",
    value: { code: Code.AlreadyExists, reason: "RUN_EXISTS", message: "taken", metadata: { run_id: "r" } },
  });
  await other.close(0);
});

test("the log has one line per failure, with the reason and never above debug for a success", async () => {
  logged.length = 0;
  thrown = new DomainError("RUN_UNKNOWN", "no such run", { metadata: { run_id: "run-1" } });
  await getRun("connect-json");
  expect(logged.map((line) => JSON.parse(line) as unknown)).toEqual([
    expect.objectContaining({ level: 30, rpc: GET_RUN, code: "NotFound", reason: "RUN_UNKNOWN", run_id: "run-1" }),
  ]);
});

test("an error of connect passes unchanged", () => {
  const error = new ConnectError("no", Code.NotFound);
  expect(toConnectError(error)).toBe(error);
});

test("but not with a text of the caller's that would end the connection as a header", () => {
  const error = new ConnectError(`unknown service ${"x".repeat(70_000)}`, Code.NotFound, { "x-a": "b" });
  const short = toConnectError(error);
  expect(short.rawMessage).toMatch(/^unknown service x{1007}…$/);
  expect(short).toMatchObject({ code: Code.NotFound, details: error.details });
  expect(short.metadata.get("x-a")).toBe("b");
});

test("the message is truncated before a header would overflow", () => {
  const problems = Array.from({ length: 10 }, () => ({ path: "a", message: "m".repeat(5_000) }));
  const message = refusalMessage(new DomainError("REQUEST_INVALID", "bad", { problems }));
  expect(message.length).toBeLessThanOrEqual(1_024);
  expect(message).toMatch(/… ?; and 7 more$/);
  expect(refusalToConnectError(new DomainError("REQUEST_INVALID", "x".repeat(9_000))).rawMessage.length).toBe(1_024);
});

// The comments of error_reason.proto are what clients read; they name the code of each reason.
test("the contract's comments name the codes of the table", () => {
  const source = readFileSync(new URL("../../../proto/abstractruntime/v1/error_reason.proto", import.meta.url), "utf8");
  const documented = [...source.matchAll(/\/\/ ([A-Z_]+)\. Retry:[^]*?ERROR_REASON_([A-Z_]+) = /g)];
  const codes: Record<string, string> = Object.fromEntries(
    documented.map(([, code = "", reason = ""]) => [reason, code]),
  );
  const names = Object.entries(CODE_BY_REASON).map(([reason, code]) => [reason, screaming(Code[code])]);
  expect(codes).toEqual(Object.fromEntries(names));
});

function screaming(name: string): string {
  return name.replaceAll(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
}
