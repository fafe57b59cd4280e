/** Requests of every RPC and protocol, valid ones and what mutations make of them. */
import { gzipSync } from "node:zlib";
import { Health } from "@abstractruntime/proto/grpc/health/v1/health_pb";
import { ServerReflection } from "@abstractruntime/proto/grpc/reflection/v1/reflection_pb";
import { LedgerService } from "@abstractruntime/proto/ledger_service_pb";
import { RuntimeService } from "@abstractruntime/proto/runtime_service_pb";
import { WorkerService } from "@abstractruntime/proto/worker_service_pb";
import { type DescMethod, fromJson, toBinary } from "@bufbuild/protobuf";
import type { Json } from "../../server/src/core/json/json.ts";
import type { Random } from "../simulation/random.ts";
import type { FuzzTarget } from "../support/fuzz.ts";
import { envelope } from "../support/raw-client.ts";
import { drawMessage, drawText, mutateBytes, mutateJson, type Words } from "./draw-message.ts";
import type { FuzzPort } from "./port.ts";
import type { RawRequest, RawSender } from "./send-raw.ts";

const METHODS: readonly DescMethod[] = [RuntimeService, LedgerService, WorkerService, Health, ServerReflection].flatMap(
  (service) => service.methods,
);
/** Calls that may wait, and streams that may go on without end: a deadline that was changed does not end them. */
const WAITING: ReadonlySet<string> = new Set(["AwaitRun", "ListStepRecords", "WatchRun", "WatchRuns", "Watch", "Work"]);
/** How long a call may take that never waits; only a hung one takes as long. */
const PATIENCE_MS = 20_000;
/** How long to look at a call that may wait: longer than the deadline that it has unless it was changed. */
const WAITING_MS = 400;
const DEADLINE_MS = 100;

const TIMEOUTS = ["1n", "99999999H", "100m", "0S", "-1S", "1", "S", "1x", "123456789S", "1e3m", "\u00b5"];
const ENCODINGS = ["gzip", "identity", "br", "deflate", "gzip, identity", "", "x".repeat(300)];
const CONTENT_TYPES = [
  "text/plain",
  "application/grpc+x",
  "application/grpc-web-text",
  "application/json; charset=latin1",
  "",
  "a/b/c",
];

const ASKING = {
  ask: { askUser: { prompt: "?" }, resultKey: "reply", next: [{ to: "done" }] },
  done: { complete: {} },
};

/** Valid requests of the RPCs that drawn messages seldom pass. */
const VALID: Readonly<Record<string, readonly Json[]>> = {
  RegisterWorkflow: [
    { workflow: { workflowId: "asking", entryNode: "ask", nodes: ASKING } },
    {
      workflow: {
        workflowId: "choosing",
        entryNode: "a",
        nodes: {
          a: { transform: { "/x": "${vars.n + 1}" }, next: [{ when: "vars.n > 3", to: "b" }, { to: "a" }] },
          b: { waitUntil: { duration: "1h" }, next: [{ to: "c" }] },
          c: { complete: { output: "${vars}" } },
        },
        varsSchema: { type: "object", properties: { n: { type: "number" }, s: { type: "string", pattern: "^a+$" } } },
      },
    },
  ],
  StartRun: [{ workflowId: "asking", vars: { text: "x", list: [1, { a: null }] }, labels: { team: "a" } }],
  StartRuns: [
    { requests: [{ workflowId: "asking" }, { workflowId: "asking", vars: { n: 1 } }, { workflowId: "none" }] },
  ],
  ResumeRun: [{ runId: "fuzz-run", waitId: "x", payload: { answer: "yes" }, requestId: "r1" }],
  EmitEvent: [{ name: "order.paid", scope: "SCOPE_GLOBAL", payload: { n: 1 } }],
  GetRun: [{ runId: "fuzz-run", view: "RUN_VIEW_FULL" }],
  AwaitRun: [{ runId: "fuzz-run", timeout: "0.01s" }],
  ListStepRecords: [{ runId: "fuzz-run", pageSize: 2, includeProof: true }],
  WatchRun: [{ runId: "fuzz-run" }],
  WatchRuns: [{ cursor: "beginning", filter: { workflowId: "asking" } }],
};

export type DrawnRequest = RawRequest & { method: string; mayWait: boolean };

/** @param isBad whether every request must be refused, so that it leaves nothing in the store */
export function requestTarget(port: FuzzPort, sender: RawSender, isBad = false): FuzzTarget<DrawnRequest> {
  return {
    name: "request",
    draw: (random) => drawRequest(random, port.words, isBad),
    async check(request) {
      const patienceMs = request.mayWait ? WAITING_MS : PATIENCE_MS;
      const outcome = await sender.send(request, { patienceMs, isAlone: isOversized(request) });
      if (outcome === undefined && !request.mayWait) throw new Error("the request hangs");
      if (outcome?.status === 0 && !isOversized(request)) throw new Error("the request was cut off");
      if (outcome?.status === 500 && outcome.code === undefined) throw new Error("the status is 500");
      // A reply to another method than POST is none of the protocols'.
      port.assertSound(request.method === "POST" ? outcome?.code : undefined);
    },
    show: ({ http, method, path, headers, body }) =>
      `${http} ${method} ${path} ${JSON.stringify(headers)} ${body.length > 2_000 ? body.length : body.toString("latin1")}`,
  };
}

/** HTTP/1.1 and HTTP/2 may end a connection or stream for headers that are too large, and for a body that is refused
 *  while it is still being sent. */
function isOversized({ headers, path, body }: DrawnRequest): boolean {
  return JSON.stringify(headers).length + path.length > 8_000 || body.length > 3 * 1024 * 1024;
}

type Form = { http: 1 | 2; contentType: string; isJson: boolean; isEnveloped: boolean; isConnect: boolean };

function drawForm(random: Random, kind: DescMethod["methodKind"]): Form {
  const isJson = random.percent(60);
  const codec = isJson ? "json" : "proto";
  const http = random.pick([1, 2] as const);
  switch (random.below(3)) {
    case 0:
      return { http: 2, contentType: `application/grpc+${codec}`, isJson, isEnveloped: true, isConnect: false };
    case 1:
      return { http, contentType: `application/grpc-web+${codec}`, isJson, isEnveloped: true, isConnect: false };
    default: {
      const isStream = kind !== "unary";
      const contentType = isStream ? `application/connect+${codec}` : `application/${codec}`;
      return { http, contentType, isJson, isEnveloped: isStream, isConnect: true };
    }
  }
}

function drawRequest(random: Random, words: Words, isBad: boolean): DrawnRequest {
  const method = random.pick(METHODS);
  const form = drawForm(random, method.methodKind);
  const headers: Record<string, string> = { "content-type": form.contentType };
  if (form.http === 2) headers["te"] = "trailers";
  const timeout = random.percent(8) ? random.pick(TIMEOUTS) : form.isConnect ? String(DEADLINE_MS) : `${DEADLINE_MS}m`;
  headers[form.isConnect ? "connect-timeout-ms" : "grpc-timeout"] = asHeader(timeout);
  let message = drawBody(random, method, form, words, isBad);
  let flags = 0;
  if (random.percent(5)) {
    headers[encodingHeader(form)] = random.percent(50) ? "gzip" : asHeader(random.pick(ENCODINGS));
    if (random.percent(70)) [message, flags] = [gzipSync(message), 1];
    if (random.percent(20)) message = mutateBytes(random, message);
  }
  let body = form.isEnveloped ? drawEnvelopes(random, message, flags) : message;
  if (random.percent(3)) body = Buffer.from(Array.from({ length: random.below(200) }, () => random.below(256)));
  if (random.percent(0.2)) body = Buffer.alloc(4 * 1024 * 1024, "[");
  if (random.percent(3)) headers["content-type"] = asHeader(random.pick(CONTENT_TYPES));
  if (random.percent(2))
    headers["origin"] = asHeader(random.pick(["null", "https://evil.example", "http://localhost"]));
  if (random.percent(2)) headers[`x-${random.below(10)}`] = asHeader(drawText(random, words));
  if (random.percent(1)) headers["x-long"] = "v".repeat(random.pick([1_000, 9_000, 20_000]));
  const path = `/${method.parent.typeName}/${method.name}`;
  return {
    http: form.http,
    method: random.percent(98) ? "POST" : random.pick(["GET", "PUT", "OPTIONS", "HEAD", "DELETE"]),
    path: random.percent(97)
      ? path
      : random.pick([`${path}x`, "/", "/healthz", "/%00", "/a/b/c?d", `/${"p".repeat(5_000)}`]),
    headers,
    body,
    mayWait: WAITING.has(method.name),
  };
}

/** Node refuses to send what HTTP does not allow in a header. */
function asHeader(text: string): string {
  return text.replaceAll(/[^\t\x20-\x7e\x80-\xff]/g, "?").trim();
}

function encodingHeader({ isConnect, isEnveloped }: Form): string {
  if (!isConnect) return "grpc-encoding";
  return isEnveloped ? "connect-content-encoding" : "content-encoding";
}

function drawBody(random: Random, method: DescMethod, form: Form, words: Words, isBad: boolean): Buffer {
  const json = drawJsonBody(random, method, words);
  if (form.isJson) {
    const text = JSON.stringify(isBad && !Array.isArray(json) && typeof json === "object" ? { ...json, bad: 1 } : json);
    if (random.percent(85)) return Buffer.from(text);
    const bytes = mutateBytes(random, Buffer.from(text));
    return isBad ? Buffer.concat([bytes, Buffer.from("}")]) : bytes;
  }
  let bytes: Buffer = Buffer.from([0x0a, 0x01, 0x61]);
  try {
    bytes = Buffer.from(toBinary(method.input, fromJson(method.input, json)));
  } catch {
    // Drawn JSON is often no message.
  }
  const drawn = random.percent(70) ? bytes : mutateBytes(random, bytes);
  // A field that no message has.
  return isBad ? Buffer.concat([drawn, Buffer.from([0xc0, 0x3e, 0x01])]) : drawn;
}

function drawJsonBody(random: Random, method: DescMethod, words: Words): Json {
  const valid = VALID[method.name];
  if (valid === undefined || random.percent(30)) return drawMessage(random, method.input, words);
  let json = random.pick(valid);
  for (let changes = random.below(3); changes > 0; changes--) json = mutateJson(random, json, words);
  return json;
}

function drawEnvelopes(random: Random, message: Buffer, flags: number): Buffer {
  const whole = envelope(message, random.percent(96) ? flags : random.pick([1, 2, 3, 0x80, 0xff]));
  const choice = random.below(100);
  if (choice < 92) return whole;
  if (choice < 94) return Buffer.concat([whole, whole]);
  if (choice < 96) return whole.subarray(0, random.below(whole.length + 1));
  if (choice < 98) return Buffer.concat([whole, envelope(Buffer.from("{}"), 2)]);
  const wrong = Buffer.from(whole);
  wrong.writeUInt32BE(random.pick([0, 1, message.length + 1, 2 ** 31, 2 ** 32 - 1]), 1);
  return wrong;
}
