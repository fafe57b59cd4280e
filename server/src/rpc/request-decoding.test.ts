import { ServerReflection } from "@abstractruntime/proto/grpc/reflection/v1/reflection_pb";
import { gzipSync } from "node:zlib";
import {
  AwaitRunRequestSchema,
  EmitEventRequestSchema,
  GetRunRequestSchema,
  RegisterWorkflowRequestSchema,
  ResumeRunRequestSchema,
  RuntimeService,
  StartRunRequestSchema,
} from "@abstractruntime/proto/runtime_service_pb";
import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { Code } from "@connectrpc/connect";
import pino from "pino";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { ErrorReason } from "../core/errors.ts";
import { createFakeEngine, nested } from "../../../tests/support/fake-engine.ts";
import { valueFromJson } from "./json-conversion.ts";
import { envelope, http1Post, type Protocol, rawCall } from "../../../tests/support/raw-client.ts";
import { checkTimeout, requestForm } from "./request-decoding.ts";
import { createRpcServer, type RpcServer } from "./server.ts";

const JSON_PROTOCOLS = ["connect-json", "grpc-json", "grpc-web-json"] as const;
const BINARY_PROTOCOLS = ["grpc", "grpc-web", "connect"] as const;

const engine = createFakeEngine();
let server: RpcServer;
let url: string;

beforeAll(async () => {
  const config = { listen: { host: "127.0.0.1", port: 0 }, hosts: [], origins: [] };
  server = createRpcServer({ engine, config, log: pino({ level: "silent" }) });
  ({ url } = await server.listen());
});
afterAll(() => server.close(0));
beforeEach(() => {
  engine.calls.length = 0;
});

function call(protocol: Protocol, rpc: string, message: Uint8Array, headers: Record<string, string> = {}, flags = 0) {
  return rawCall(url, { protocol, path: `/${RuntimeService.typeName}/${rpc}`, message, headers, flags });
}

type Refused = {
  name: string;
  rpc: string;
  message: Uint8Array;
  reason: ErrorReason;
  fields?: string[];
  /** A part of the message. */
  says?: string;
  pointer?: string;
};

function json(name: string, rpc: string, text: string, expected: Omit<Refused, "name" | "rpc" | "message">): Refused {
  return { name, rpc, message: Buffer.from(text), ...expected };
}

const node = (text: string) => `{"workflow":{"workflowId":"w","entryNode":"a","nodes":{"a":${text}}}}`;
const deep = (levels: number) => JSON.stringify(nested(levels));

const REFUSED_JSON: Refused[] = [
  json("an empty body", "StartRun", "", { reason: "REQUEST_INVALID", says: "malformed JSON" }),
  json("no JSON", "StartRun", "{nope", { reason: "REQUEST_INVALID", says: "malformed JSON" }),
  json("two JSON values", "StartRun", "{} {}", { reason: "REQUEST_INVALID", says: "malformed JSON" }),
  json("a list", "StartRun", "[]", { reason: "REQUEST_INVALID", says: "must be an object" }),
  json("an unknown field", "StartRun", '{"workflowId":"w","nope":1}', { reason: "REQUEST_INVALID", fields: ["nope"] }),
  json("unknown fields in nested messages", "RegisterWorkflow", node('{"complete":{"x":1},"y":2}'), {
    reason: "REQUEST_INVALID",
    fields: ["workflow.nodes.a.complete.x", "workflow.nodes.a.y"],
  }),
  json("an unknown field that any object has", "StartRun", '{"workflowId":"w","constructor":1,"toString":2}', {
    reason: "REQUEST_INVALID",
    fields: ["constructor", "toString"],
  }),
  json("a field by both names", "StartRun", '{"workflowId":"w","workflow_id":"w"}', {
    reason: "REQUEST_INVALID",
    fields: ["workflowId"],
  }),
  json("a node of two kinds", "RegisterWorkflow", node('{"complete":{},"handler":{}}'), {
    reason: "REQUEST_INVALID",
    fields: ["workflow.nodes.a"],
    says: "only one of complete and handler",
  }),
  json("an enum by number", "GetRun", '{"runId":"r","view":1}', { reason: "REQUEST_INVALID", fields: ["view"] }),
  json("an enum by its short name", "GetRun", '{"runId":"r","view":"full"}', {
    reason: "REQUEST_INVALID",
    fields: ["view"],
    says: "must be one of RUN_VIEW_UNSPECIFIED, RUN_VIEW_BASIC, RUN_VIEW_FULL",
  }),
  json("an enum in a list by number", "AwaitRun", '{"runId":"r","reasons":["WAIT_REASON_USER",3]}', {
    reason: "REQUEST_INVALID",
    fields: ["reasons[1]"],
  }),
  json(
    "fields of other types",
    "StartRun",
    '{"workflowId":5,"version":1.5,"paused":"yes","labels":[],"startAt":"soon","vars":[]}',
    {
      reason: "REQUEST_INVALID",
      fields: ["workflowId", "version", "paused", "labels", "startAt", "vars"],
    },
  ),
  json("an int32 out of range", "StartRun", '{"workflowId":"w","version":2147483648}', {
    reason: "REQUEST_INVALID",
    fields: ["version"],
  }),
  json("a null in a list", "AwaitRun", '{"runId":"r","reasons":[null]}', {
    reason: "REQUEST_INVALID",
    fields: ["reasons[0]"],
  }),
  json("an invalid duration", "AwaitRun", '{"runId":"r","timeout":"5m"}', {
    reason: "REQUEST_INVALID",
    fields: ["timeout"],
    says: "90s",
  }),
  json("a bound", "AwaitRun", '{"runId":"r","timeout":"301s"}', { reason: "REQUEST_INVALID", fields: ["timeout"] }),
  json("two malformed ids", "ResumeRun", '{"runId":"a b","waitId":"","payload":1}', {
    reason: "REQUEST_INVALID",
    fields: ["runId", "waitId"],
  }),
  json("a target that is not its scope's", "EmitEvent", '{"name":"n","scope":"SCOPE_SESSION","runId":"r"}', {
    reason: "REQUEST_INVALID",
    says: "SCOPE_SESSION session_id",
  }),
  json("a duplicate name", "StartRun", '{"workflowId":"w","vars":{"a":1,"a":2}}', {
    reason: "PAYLOAD_INVALID",
    says: "twice",
    pointer: "/vars",
  }),
  json("a duplicate name, escaped", "StartRun", '{"workflowId":"w","vars":{"a":1,"\\u0061":2}}', {
    reason: "PAYLOAD_INVALID",
    says: "twice",
  }),
  json("__proto__", "StartRun", '{"workflowId":"w","vars":{"__proto__":{"x":1}}}', {
    reason: "PAYLOAD_INVALID",
    says: "__proto__",
    pointer: "/vars",
  }),
  json("a lone surrogate", "StartRun", '{"workflowId":"w","vars":{"a":"\\ud800"}}', {
    reason: "PAYLOAD_INVALID",
    pointer: "/vars/a",
  }),
  json("U+0000", "ResumeRun", '{"runId":"r","waitId":"w","payload":["\\u0000"]}', {
    reason: "PAYLOAD_INVALID",
    pointer: "/payload/0",
  }),
  json("2^53 + 1", "StartRun", '{"workflowId":"w","vars":{"id":9007199254740993}}', {
    reason: "NUMBER_NOT_EXACT",
    pointer: "/vars/id",
  }),
  json("a number beyond doubles", "EmitEvent", '{"name":"n","runId":"r","payload":1e999}', {
    reason: "NUMBER_NOT_EXACT",
  }),
  json("33 levels", "StartRun", `{"workflowId":"w","vars":${deep(33)}}`, { reason: "PAYLOAD_TOO_DEEP" }),
  json("10,000 levels", "StartRun", `{"workflowId":"w","vars":${"[".repeat(10_000)}`, { reason: "PAYLOAD_TOO_DEEP" }),
  json("a payload of more than 1 MiB", "StartRun", `{"workflowId":"w","vars":{"a":"${"x".repeat(1 << 20)}"}}`, {
    reason: "PAYLOAD_TOO_LARGE",
  }),
  json(
    "a payload of a graph of more than 1 MiB",
    "RegisterWorkflow",
    node(`{"complete":{"output":"${"x".repeat(1 << 20)}"}}`),
    {
      reason: "PAYLOAD_TOO_LARGE",
    },
  ),
  json("a request of more than 3 MiB", "StartRun", `{"workflowId":"${"w".repeat(3 << 20)}"}`, {
    reason: "PAYLOAD_TOO_LARGE",
    says: "the request is larger than",
  }),
  {
    name: "a byte order mark",
    rpc: "GetRun",
    message: Buffer.from('\ufeff{"runId":"r"}'),
    reason: "REQUEST_INVALID",
  },
  {
    name: "text that is not UTF-8",
    rpc: "StartRun",
    message: Buffer.from([0x7b, 0xff, 0x7d]),
    reason: "REQUEST_INVALID",
  },
];

function binary<D extends DescMessage>(desc: D, message: MessageInitShape<D>, ...more: Uint8Array[]): Uint8Array {
  return Buffer.concat([toBinary(desc, create(desc, message)), ...more]);
}

/** A field whose content is given as bytes. */
function field(no: number, bytes: Uint8Array): Uint8Array {
  return new BinaryWriter().tag(no, WireType.LengthDelimited).bytes(bytes).finish();
}

const text = (value: string) => Buffer.from(value);
const noText = Buffer.from([0x61, 0xff]);

const REFUSED_BINARY: Refused[] = [
  {
    name: "bytes that are not a message",
    rpc: "StartRun",
    message: Buffer.from([0xff, 0xff]),
    reason: "REQUEST_INVALID",
  },
  { name: "a truncated message", rpc: "StartRun", message: Buffer.from([0x12, 0x05, 0x61]), reason: "REQUEST_INVALID" },
  {
    name: "an unknown field",
    rpc: "StartRun",
    message: binary(StartRunRequestSchema, { workflowId: "w" }, field(999, text("x"))),
    reason: "REQUEST_INVALID",
    fields: [""],
    says: "unknown field number 999",
  },
  {
    name: "unknown fields in nested messages",
    rpc: "RegisterWorkflow",
    message: field(
      1,
      Buffer.concat([
        field(1, text("w")),
        field(5, text("a")),
        field(
          6,
          Buffer.concat([
            field(1, text("a")),
            field(2, Buffer.concat([field(12, field(99, text("x"))), field(98, text("y"))])),
          ]),
        ),
      ]),
    ),
    reason: "REQUEST_INVALID",
    fields: ["workflow.nodes.a", "workflow.nodes.a.fail"],
  },
  {
    name: "an enum's unknown number",
    rpc: "GetRun",
    message: binary(GetRunRequestSchema, { runId: "r", view: 77 as never }),
    reason: "REQUEST_INVALID",
    fields: ["view"],
  },
  { name: "a string that is not UTF-8", rpc: "GetRun", message: field(1, noText), reason: "REQUEST_INVALID" },
  {
    name: "U+0000 in a string",
    rpc: "CancelRun",
    message: Buffer.concat([field(1, text("r")), field(3, text("a\0b"))]),
    reason: "REQUEST_INVALID",
    fields: ["reason"],
  },
  {
    name: "NaN in vars",
    rpc: "StartRun",
    message: binary(StartRunRequestSchema, { workflowId: "w", vars: { list: [1, Number.NaN] } }),
    reason: "NUMBER_NOT_EXACT",
    pointer: "/vars/list/1",
  },
  {
    name: "Infinity in a payload",
    rpc: "ResumeRun",
    message: binary(ResumeRunRequestSchema, { runId: "r", waitId: "w", payload: valueFromJson({ a: Infinity }) }),
    reason: "NUMBER_NOT_EXACT",
    pointer: "/payload/a",
  },
  {
    name: "U+0000 in a payload's name",
    rpc: "EmitEvent",
    message: binary(EmitEventRequestSchema, {
      name: "n",
      target: { case: "runId", value: "r" },
      payload: valueFromJson({ "a\0": 1 }),
    }),
    reason: "PAYLOAD_INVALID",
    pointer: "/payload",
  },
  {
    name: "__proto__ in vars",
    rpc: "StartRun",
    message: binary(StartRunRequestSchema, { workflowId: "w", vars: JSON.parse('{"a":{"__proto__":1}}') as never }),
    reason: "PAYLOAD_INVALID",
    pointer: "/vars/a",
  },
  {
    name: "__proto__ in a payload",
    rpc: "ResumeRun",
    message: binary(ResumeRunRequestSchema, {
      runId: "r",
      waitId: "w",
      payload: {
        kind: {
          case: "structValue",
          value: { fields: JSON.parse('{"__proto__":{"kind":{"case":"boolValue","value":true}}}') as never },
        },
      },
    }),
    reason: "PAYLOAD_INVALID",
    pointer: "/payload",
  },
  {
    name: "33 levels",
    rpc: "StartRun",
    message: binary(StartRunRequestSchema, { workflowId: "w", vars: nested(33) }),
    reason: "PAYLOAD_TOO_DEEP",
    pointer: `/vars${"/a".repeat(32)}`,
  },
  {
    name: "300 levels",
    rpc: "StartRun",
    message: binary(StartRunRequestSchema, { workflowId: "w", vars: nested(300) }),
    reason: "PAYLOAD_TOO_DEEP",
  },
  {
    name: "a payload of more than 1 MiB",
    rpc: "StartRun",
    message: binary(StartRunRequestSchema, { workflowId: "w", vars: { a: "x".repeat(1 << 20) } }),
    reason: "PAYLOAD_TOO_LARGE",
  },
  {
    name: "a payload of a graph of more than 1 MiB",
    rpc: "RegisterWorkflow",
    message: binary(RegisterWorkflowRequestSchema, {
      workflow: {
        workflowId: "w",
        entryNode: "a",
        nodes: { a: { kind: { case: "complete", value: { output: valueFromJson("x".repeat(1 << 20)) } } } },
      },
    }),
    reason: "PAYLOAD_TOO_LARGE",
    pointer: "",
  },
  {
    name: "a request of more than 3 MiB",
    rpc: "StartRun",
    message: binary(StartRunRequestSchema, { workflowId: "w".repeat(3 << 20) }),
    reason: "PAYLOAD_TOO_LARGE",
    says: "the request is larger than",
  },
  {
    name: "a time that does not exist",
    rpc: "StartRun",
    message: binary(StartRunRequestSchema, { workflowId: "w", startAt: { seconds: 10n ** 15n } }),
    reason: "REQUEST_INVALID",
    fields: ["startAt"],
  },
  {
    name: "an invalid duration",
    rpc: "AwaitRun",
    message: binary(AwaitRunRequestSchema, { runId: "r", timeout: { seconds: 1n, nanos: -5 } }),
    reason: "REQUEST_INVALID",
    fields: ["timeout"],
  },
  {
    name: "a malformed label",
    rpc: "StartRun",
    message: binary(StartRunRequestSchema, { workflowId: "w", labels: { "not a name": "x" } }),
    reason: "REQUEST_INVALID",
    fields: ["labels.not a name"],
  },
];

function describeRefusals(protocols: readonly Protocol[], cases: Refused[]): void {
  describe.each(protocols)("over %s", (protocol) => {
    test.each(cases)("$name", async ({ rpc, message, reason, fields, says, pointer }) => {
      const reply = await call(protocol, rpc, message);
      expect({ code: reply.code, reason: reply.reason, domain: reply.domain }).toEqual({
        code: Code.InvalidArgument,
        reason,
        domain: "abstractruntime",
      });
      if (fields !== undefined) expect(reply.fields.toSorted()).toEqual(fields.toSorted());
      if (says !== undefined) expect(reply.message).toContain(says);
      if (pointer !== undefined && pointer !== "") expect(reply.metadata["pointer"]).toBe(pointer);
      expect(engine.calls).toEqual([]);
    });
  });
}

describe("refused JSON", () => {
  describeRefusals(JSON_PROTOCOLS, REFUSED_JSON);
});
describe("refused binary", () => {
  describeRefusals(BINARY_PROTOCOLS, REFUSED_BINARY);
});

describe("accepted", () => {
  test.each([...JSON_PROTOCOLS])("JSON at its bounds over %s", async (protocol) => {
    const vars = { deep: nested(31), max: 2 ** 53, text: "ü🦊\n", ["constructor"]: 1, minus: -0 };
    const reply = await call(
      protocol,
      "StartRun",
      text(JSON.stringify({ workflow_id: "w", runId: null, version: "3", vars })),
    );
    expect(reply).toMatchObject({ code: 0 });
    const request = engine.calls[0]?.args[0] as { vars: object; version: number };
    expect(request.version).toBe(3);
    expect(request.vars).toEqual({ ...vars, minus: 0 });
    expect("toString" in request.vars).toBe(false);
  });

  test.each([...BINARY_PROTOCOLS])("binary at its bounds over %s", async (protocol) => {
    const vars = { deep: nested(31), list: [1, null, "x", { b: false }], minus: -0 };
    const reply = await call(protocol, "StartRun", binary(StartRunRequestSchema, { workflowId: "w", vars }));
    expect(reply).toMatchObject({ code: 0 });
    const request = engine.calls[0]?.args[0] as { vars: { deep: object } };
    expect(request.vars).toEqual({ ...vars, minus: 0 });
    expect("toString" in request.vars.deep).toBe(false);
  });

  test.each(["grpc", "grpc-web-json", "connect"] as const)("gzip over %s", async (protocol) => {
    const plain = protocol.endsWith("json")
      ? text('{"runId":"zipped"}')
      : binary(GetRunRequestSchema, { runId: "zipped" });
    const header = protocol === "connect" ? "content-encoding" : "grpc-encoding";
    const reply = await call(protocol, "GetRun", gzipSync(plain), { [header]: "gzip" }, 1);
    expect(reply).toMatchObject({ code: 0 });
    expect(engine.calls[0]?.args[0]).toBe("zipped");
  });
});

describe("envelopes and headers", () => {
  test("a gzip bomb is refused at 3 MiB", async () => {
    const reply = await call("connect-json", "GetRun", gzipSync(Buffer.alloc(64 << 20, " ")), {
      "content-encoding": "gzip",
    });
    expect(reply).toMatchObject({ code: Code.InvalidArgument, reason: "PAYLOAD_TOO_LARGE" });
  });

  test("broken gzip", async () => {
    const reply = await call("connect-json", "GetRun", text("{}"), { "content-encoding": "gzip" });
    expect(reply).toMatchObject({ code: Code.InvalidArgument, reason: "REQUEST_INVALID" });
  });

  test.each(["grpc", "connect"] as const)("an unknown compression over %s is UNIMPLEMENTED", async (protocol) => {
    const header = protocol === "grpc" ? "grpc-encoding" : "content-encoding";
    const reply = await call(protocol, "GetRun", binary(GetRunRequestSchema, { runId: "r" }), { [header]: "zstd" });
    expect(reply).toMatchObject({ code: Code.Unimplemented, reason: "REQUEST_INVALID" });
  });

  test.each(["grpc", "connect-json"] as const)("a malformed timeout over %s", async (protocol) => {
    const header = protocol === "grpc" ? "grpc-timeout" : "connect-timeout-ms";
    const reply = await call(protocol, "GetRun", text("{}"), { [header]: "soon" });
    expect(reply).toMatchObject({ code: Code.InvalidArgument, reason: "REQUEST_INVALID" });
  });

  test("the timeout of a stream of requests is checked as any other", async () => {
    const path = `/${ServerReflection.typeName}/ServerReflectionInfo`;
    const listServices = Buffer.from([0x3a, 0x01, 0x2a]);
    const callWith = (timeout: string) =>
      rawCall(url, { protocol: "grpc", path, message: listServices, headers: { "grpc-timeout": timeout } });
    expect(await callWith("99999999H")).toMatchObject({ code: 0 });
    expect(await callWith("soon")).toMatchObject({ code: Code.InvalidArgument, reason: "REQUEST_INVALID" });
  });

  test("a timeout beyond the range of timers is ignored", () => {
    const form = requestForm("application/grpc");
    const header = new Headers({ "grpc-timeout": "99999999H" });
    if (form !== undefined) checkTimeout(form, header);
    expect(header.get("grpc-timeout")).toBe(null);
  });

  test.each([
    ["no envelope", Buffer.alloc(0)],
    ["half an envelope", Buffer.from([0, 0, 0])],
    ["a truncated message", Buffer.from([0, 0, 0, 0, 9, 1])],
    ["two messages", Buffer.concat([envelope(text("")), envelope(text(""))])],
    ["a length beyond 3 MiB", Buffer.from([0, 0xff, 0xff, 0xff, 0xff])],
  ])("%s in gRPC-Web", async (_name, body) => {
    const path = `/${RuntimeService.typeName}/GetRun`;
    const reply = await http1Post(url, path, { "content-type": "application/grpc-web" }, body);
    expect(reply.body.toString()).toContain("grpc-status: 3");
    expect(engine.calls).toEqual([]);
  });
});

describe("WORKFLOW_INVALID", () => {
  test("lists the problems of field rules and of the compiler, without the request's own field", async () => {
    const graph = {
      workflow: {
        workflowId: "w",
        entryNode: "a",
        nodes: { a: { assign: { values: { x: "${ 1 +" } }, next: [{ to: "gone" }] }, b: {}, "c d": { complete: {} } },
      },
    };
    const reply = await call("connect-json", "RegisterWorkflow", text(JSON.stringify(graph)));
    expect(reply).toMatchObject({ code: Code.InvalidArgument, reason: "WORKFLOW_INVALID" });
    expect(reply.fields).toEqual(
      expect.arrayContaining(["nodes.b", "nodes.c d", "nodes.a.assign.values.x", "nodes.a.next[0].to"]),
    );
    expect(reply.fields.filter((path) => path === "nodes.b")).toHaveLength(1);
    expect(engine.calls).toEqual([]);
  });
});
