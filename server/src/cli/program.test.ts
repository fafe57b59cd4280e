import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";

import { BadRequestSchema, ErrorInfoSchema } from "@abstractruntime/proto/google/rpc/error_details_pb";
import { LedgerService } from "@abstractruntime/proto/ledger_service_pb";
import { RunExplanationSchema } from "@abstractruntime/proto/run_explanation_pb";
import { RunSchema } from "@abstractruntime/proto/run_pb";
import {
  RuntimeService,
  type WatchRunResponseSchema,
  type WatchRunsResponseSchema,
} from "@abstractruntime/proto/runtime_service_pb";
import { WaitSchema } from "@abstractruntime/proto/wait_pb";
import {
  type DescMessage,
  fromJson,
  type JsonObject,
  type Message,
  type MessageInitShape,
  toJson,
} from "@bufbuild/protobuf";
import { Code, ConnectError, createRouterTransport, type ServiceImpl } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";

import { runCli, type ProgramDeps } from "./program.ts";

type Fakes = {
  runtime?: Partial<ServiceImpl<typeof RuntimeService>>;
  ledger?: Partial<ServiceImpl<typeof LedgerService>>;
  stdin?: string;
  deps?: Partial<ProgramDeps>;
};

/** Runs a command line against a fake service in memory, and gives what it wrote. */
async function cli(argv: string[], fakes: Fakes = {}): Promise<{ code: number; out: string; err: string }> {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const transport = createRouterTransport((router) => {
    router.service(RuntimeService, fakes.runtime ?? {});
    router.service(LedgerService, fakes.ledger ?? {});
  });
  let ids = 0;
  const written = [gather(stdout), gather(stderr)];
  const code = await runCli(argv, {
    stdout,
    stderr,
    stdin: Readable.from(fakes.stdin === undefined ? [] : [Buffer.from(fakes.stdin)]),
    env: {},
    startServer: () => Promise.resolve(),
    connect: () => ({ transport, close: () => {} }),
    pause: () => Promise.resolve(),
    now: () => new Date("2026-01-01T00:00:00Z"),
    newId: () => `id-${++ids}`,
    ...fakes.deps,
  });
  stdout.end();
  stderr.end();
  const [out = "", err = ""] = await Promise.all(written);
  return { code, out, err };
}

async function gather(stream: PassThrough): Promise<string> {
  let text = "";
  for await (const chunk of stream) text += String(chunk);
  return text;
}

function refuse(
  code: Code,
  reason: string,
  message: string,
  problems: { field: string; description: string }[] = [],
): never {
  const details = [
    { desc: ErrorInfoSchema, value: { reason, domain: "abstractruntime" } },
    ...(problems.length === 0 ? [] : [{ desc: BadRequestSchema, value: { fieldViolations: problems } }]),
  ];
  throw new ConnectError(message, code, undefined, details);
}

const QUESTION: JsonObject = {
  waitId: "w1",
  runId: "r1",
  workflowId: "ask",
  nodeId: "ask",
  reason: "WAIT_REASON_USER",
  prompt: "Approve?",
  choices: ["yes", "no"],
  answerSchema: {},
  createTime: "2026-01-01T00:00:00Z",
};
const RUN: JsonObject = {
  runId: "r1",
  workflowId: "ask",
  version: 1,
  status: "RUN_STATUS_RUNNING",
  currentNode: "ask",
  rootRunId: "r1",
  seq: 3,
  createTime: "2026-01-01T00:00:00Z",
  updateTime: "2026-01-01T00:00:01Z",
};
const runWith = (fields: JsonObject = {}) => fromJson(RunSchema, { ...RUN, ...fields });
const waitWith = (fields: JsonObject = {}) => fromJson(WaitSchema, { ...QUESTION, ...fields });
const explanationWith = (fields: JsonObject) =>
  fromJson(RunExplanationSchema, { run: RUN, readTime: "2026-01-02T00:00:00Z", ...fields });
const WAITING: JsonObject = { status: "RUN_STATUS_WAITING", waiting: QUESTION };
const COMPLETED: JsonObject = { status: "RUN_STATUS_COMPLETED", output: { ok: true } };

/** Keeps the requests that a fake method gets, as JSON. */
function recorder<Reply>(desc: DescMessage, reply: (count: number) => Reply) {
  const requests: unknown[] = [];
  return {
    requests,
    method: (request: Message): Reply => {
      requests.push(toJson(desc, request as never));
      return reply(requests.length);
    },
  };
}

const { startRun, explainRun, listRuns, resumeRun, emitEvent, tickRun, awaitRun, cancelRun, listWaits, watchRuns } =
  RuntimeService.method;

function graphFile(text: string): string {
  const file = join(mkdtempSync(join(tmpdir(), "abstractruntime-cli-")), "graph.yaml");
  writeFileSync(file, text);
  return file;
}
const GRAPH = "workflowId: w\nentryNode: a\nnodes:\n  a: { complete: { output: '${vars.x' } }\n";

describe("the command line", () => {
  it("explains itself", async () => {
    const { code, out } = await cli(["--help"]);
    expect(code).toBe(0);
    for (const word of ["server", "workflow", "run", "inbox", "event", "ledger", "Exit codes"])
      expect(out).toContain(word);
  });

  it.each([
    [["nope"]],
    [["run", "start"]],
    [["run", "list", "--nope"]],
    [["run", "list", "--status", "sleeping"]],
    [["run", "list", "--limit", "0"]],
    [["run", "list", "--limit", "5", "--all"]],
    [["run", "start", "w", "--vars", "[]"]],
    [["run", "start", "w", "--timeout", "5s"]],
    [["run", "start", "w", "--wait", "--paused"]],
    [["run", "watch", "r1", "--kind", "failed"]],
    [["run", "watch", "--after", "3"]],
    [["event", "emit", "e", "--scope", "run"]],
    [["event", "emit", "e", "--scope", "global", "--run", "r1"]],
    [["event", "emit", "e", "--run", "r1", "--session", "s"]],
    [["--server", "ftp://x", "run", "list"]],
    [["run", "list", "--deadline", "soon"]],
    [["run", "answer", "r1", "--json-answer"]],
    [["workflow", "get", "w", "--yaml", "--json"]],
  ])("refuses %j as wrong use, with exit code 2 and nothing on stdout", async (argv) => {
    const { code, out, err } = await cli(argv);
    expect(code).toBe(2);
    expect(out).toBe("");
    expect(err).not.toBe("");
  });

  it("gives the server its settings under the names of their variables", async () => {
    const settings: unknown[] = [];
    const startServer = (given: unknown) => Promise.resolve(void settings.push(given));
    const argv = [
      "server",
      "--listen",
      "127.0.0.1:0",
      "--data-dir",
      "d",
      "--database-url",
      "postgres://x",
      "--insecure",
      "--hosts",
      "a,b",
      "--origins",
      "o",
      "--log-level",
      "warn",
      "--attached",
      "--temporary",
    ];
    expect(await cli(argv, { deps: { startServer } })).toEqual({ code: 0, out: "", err: "" });
    expect(await cli(["server"], { deps: { startServer } })).toMatchObject({ code: 0 });
    expect(settings).toEqual([
      {
        ABSTRACTRUNTIME_LISTEN: "127.0.0.1:0",
        ABSTRACTRUNTIME_DATA_DIR: "d",
        DATABASE_URL: "postgres://x",
        ABSTRACTRUNTIME_INSECURE: "true",
        ABSTRACTRUNTIME_HOSTS: "a,b",
        ABSTRACTRUNTIME_ORIGINS: "o",
        ABSTRACTRUNTIME_LOG_LEVEL: "warn",
        ABSTRACTRUNTIME_ATTACHED: "true",
        ABSTRACTRUNTIME_TEMPORARY: "true",
      },
      {},
    ]);
  });

  it("says where the server was looked for when it cannot be reached", async () => {
    const getRun = () => {
      throw new ConnectError("connect ECONNREFUSED", Code.Unavailable);
    };
    const { code, out, err } = await cli(["run", "get", "r1"], {
      runtime: { getRun },
      deps: { env: { ABSTRACTRUNTIME_URL: "http://ar:1" } },
    });
    expect({ code, out }).toEqual({ code: 3, out: "" });
    expect(err).toMatch(/^cannot reach a server at http:\/\/ar:1: connect ECONNREFUSED\nStart one with/);
  });

  it("closes the connection, whatever happens", async () => {
    let closed = 0;
    const transport = createRouterTransport((router) =>
      router.service(RuntimeService, { getRun: () => refuse(Code.NotFound, "RUN_UNKNOWN", "no") }),
    );
    const connect = () => ({ transport, close: () => void (closed += 1) });
    await cli(["run", "get", "r1"], { deps: { connect } });
    expect(closed).toBe(1);
  });

  it("tells refusals with every problem of a field, and nothing that a terminal obeys", async () => {
    const getRun = () =>
      refuse(Code.InvalidArgument, "REQUEST_INVALID", "two \u001b[31mproblems", [
        { field: "run_id", description: "is bad" },
        { field: "view", description: "is worse" },
      ]);
    expect(await cli(["run", "get", "r1"], { runtime: { getRun } })).toEqual({
      code: 1,
      out: "",
      err: "REQUEST_INVALID: two \\u001b[31mproblems\n  run_id: is bad\n  view: is worse\n",
    });
  });

  it("tells a server that is shutting down from none at all", async () => {
    const getRun = () => refuse(Code.Unavailable, "SHUTTING_DOWN", "bye");
    expect(await cli(["run", "get", "r1"], { runtime: { getRun } })).toMatchObject({
      code: 1,
      err: "SHUTTING_DOWN: bye\n",
    });
  });

  it("ends quietly when the reader of its output has gone", async () => {
    const stdout = new PassThrough();
    stdout.destroy();
    const { code, err } = await cli(["run", "get", "r1"], {
      runtime: { getRun: () => ({ run: runWith() }) },
      deps: { stdout },
    });
    expect({ code, err }).toEqual({ code: 0, err: "" });
  });
});

describe("workflow", () => {
  it("register shows the server's problems in the file", async () => {
    const registerWorkflow = () =>
      refuse(Code.InvalidArgument, "WORKFLOW_INVALID", "bad", [
        { field: "nodes.a.complete.output", description: "} is missing" },
      ]);
    const file = graphFile(GRAPH);
    const { code, err } = await cli(["workflow", "register", file], { runtime: { registerWorkflow } });
    expect(code).toBe(1);
    expect(err).toContain(`${file}:4:28: nodes.a.complete.output: } is missing\n`);
    expect(err).toContain("WORKFLOW_INVALID");
  });

  it("register sends nothing unless every file can be read", async () => {
    let sent = 0;
    const registerWorkflow = () => {
      sent += 1;
      return {};
    };
    const { code, err } = await cli(["workflow", "register", graphFile(GRAPH), graphFile("a: 1")], {
      runtime: { registerWorkflow },
    });
    expect({ code, sent }).toEqual({ code: 1, sent: 0 });
    expect(err).toContain(":1:1: a: unknown field");
  });

  it("register reads what is piped in, and says the version", async () => {
    const registerWorkflow: NonNullable<Fakes["runtime"]>["registerWorkflow"] = ({ workflow }) => ({
      workflow: { ...workflow!, version: 3, digest: "d" },
    });
    expect(await cli(["workflow", "register", "-"], { runtime: { registerWorkflow }, stdin: GRAPH })).toEqual({
      code: 0,
      out: "<stdin>: w version 3 (digest d)\n",
      err: "",
    });
    const { out } = await cli(["workflow", "register", "-", "--json"], { runtime: { registerWorkflow }, stdin: GRAPH });
    expect(JSON.parse(out)).toMatchObject({ workflows: [{ workflowId: "w", version: 3 }] });
  });

  it("get --yaml gives a graph that can be registered again", async () => {
    const getWorkflow = () => ({
      workflow: {
        workflowId: "w",
        version: 2,
        digest: "d",
        current: true,
        entryNode: "a",
        nodes: { a: { kind: { case: "handler" as const, value: {} }, next: [] } },
      },
    });
    const { out } = await cli(["workflow", "get", "w", "--yaml"], { runtime: { getWorkflow } });
    expect(out).toBe("workflowId: w\nentryNode: a\nnodes:\n  a:\n    handler: {}\n");
    expect(await cli(["workflow", "register", "--check", "-"], { stdin: out })).toMatchObject({
      code: 0,
      out: "<stdin>: w, 1 nodes\n",
    });
  });

  it("render needs no server for a file, and one for an id", async () => {
    expect((await cli(["workflow", "render", graphFile(GRAPH)])).out).toMatch(/^flowchart TD\n/);
    const getWorkflow = () => ({ workflow: { workflowId: "w", entryNode: "a", nodes: { a: {} } } });
    expect((await cli(["workflow", "render", "w"], { runtime: { getWorkflow } })).out).toContain('n0["a"]');
    expect((await cli(["workflow", "render", graphFile(GRAPH), "--version", "2"])).code).toBe(2);
  });
});

describe("run start", () => {
  it("sends everything, with an id of its own so that a retry is safe", async () => {
    const start = recorder(startRun.input, (count) => {
      if (count === 1) throw new ConnectError("restarting", Code.Unavailable);
      return { run: runWith() };
    });
    const argv = [
      "run",
      "start",
      "ask",
      "--vars",
      "-",
      "--var",
      "n=2",
      "--session",
      "s",
      "--actor",
      "ada",
      "--label",
      "team=x",
      "--version",
      "4",
      "--paused",
      "--start-at",
      "+1h",
    ];
    const { code } = await cli(argv, { runtime: { startRun: start.method }, stdin: '{"m": 1}' });
    expect(code).toBe(0);
    const request = {
      runId: "id-1",
      workflowId: "ask",
      version: 4,
      vars: { m: 1, n: 2 },
      sessionId: "s",
      actorId: "ada",
      labels: { team: "x" },
      paused: true,
      startAt: "2026-01-01T01:00:00Z",
    };
    expect(start.requests).toEqual([request, request]);
  });

  it("--wait waits as often as it takes, and shows the question", async () => {
    const waited = recorder(awaitRun.input, (count) => ({ run: runWith(count < 3 ? {} : WAITING) }));
    const { code, out, err } = await cli(["run", "start", "ask", "--wait"], {
      runtime: { startRun: () => ({ run: runWith() }), awaitRun: waited.method },
    });
    expect(code).toBe(0);
    expect(waited.requests).toEqual(Array.from({ length: 3 }, () => ({ runId: "r1", timeout: "25s" })));
    expect(out).toContain("Approve?");
    expect(err).toBe("started r1\nanswer it with: abstractruntime run answer r1\n");
  });

  it.each<[string, JsonObject, number]>([
    ["completed", COMPLETED, 0],
    ["failed", { status: "RUN_STATUS_FAILED", error: { code: "NO", message: "no" } }, 4],
    ["cancelled", { status: "RUN_STATUS_CANCELLED" }, 4],
  ])("--wait has an exit code for a run that %s", async (_what, fields, code) => {
    const runtime = { startRun: () => ({ run: runWith() }), awaitRun: () => ({ run: runWith(fields) }) };
    expect((await cli(["run", "start", "ask", "--wait", "--json"], { runtime })).code).toBe(code);
  });

  it("--timeout ends the wait", async () => {
    let ms = Date.parse("2026-01-01T00:00:00Z");
    const waited = recorder(awaitRun.input, () => {
      ms += waited.requests.length === 1 ? 30_000 : 15_000;
      return { run: runWith() };
    });
    const runtime = { startRun: () => ({ run: runWith() }), awaitRun: waited.method };
    const { code } = await cli(["run", "start", "ask", "--wait", "--timeout", "45s"], {
      runtime,
      deps: { now: () => new Date(ms) },
    });
    expect(code).toBe(4);
    expect(waited.requests).toEqual([
      { runId: "r1", timeout: "25s" },
      { runId: "r1", timeout: "15s" },
    ]);
  });
});

describe("run explain", () => {
  const next = { kind: "NEXT_MOVE_KIND_ANSWER", message: "Somebody answers wait w1.", metadata: { wait_id: "w1" } };

  it("says first what would move the run, then what it stands on", async () => {
    const explanation = explanationWith({ run: { ...RUN, ...WAITING }, next, wakeTime: "2026-01-03T00:00:00Z" });
    const explain = recorder(explainRun.input, () => ({ explanation }));
    const { out } = await cli(["run", "explain", "r1"], { runtime: { explainRun: explain.method } });
    expect(explain.requests).toEqual([{ runId: "r1" }]);
    expect(out).toBe(
      [
        "next     Somebody answers wait w1.",
        "run      r1 (ask version 1)",
        "status   waiting (user)",
        "node     ask",
        "owner    none: the run is parked",
        "records  3",
        "mail     none",
        "wakes    2026-01-03T00:00:00.000Z",
        "waiting  Approve? [yes | no] (wait w1)",
        "jobs     none",
        "read at  2026-01-02T00:00:00.000Z",
        "",
      ].join("\n"),
    );
  });

  it("shows why a run has failed", async () => {
    const error = { code: "EVALUATION_FAILED", message: "no such key\u001b", nodeId: "ask" };
    const explanation = explanationWith({ run: { ...RUN, status: "RUN_STATUS_FAILED", error } });
    const { out } = await cli(["run", "explain", "r1"], { runtime: { explainRun: () => ({ explanation }) } });
    expect(out).toContain("\nerror    EVALUATION_FAILED: no such key\\u001b (node ask)\n");
  });

  it("shows owner and lease, mail, channel and jobs, without what a terminal obeys", async () => {
    const explanation = explanationWith({
      next: { kind: "NEXT_MOVE_KIND_RESULT", message: "Worker \u001b gives it." },
      owner: {
        serverId: "s1",
        process: "boot \u009b 7",
        laneId: "12",
        lease: "LEASE_STATE_OTHER",
        sinceRenewal: "1.250s",
      },
      rowRecordsBehind: 2,
      mail: [{ kind: "cancel", createTime: "2026-01-01T00:00:00Z" }],
      mailTotal: 3,
      channel: { scope: "SCOPE_SESSION", scopeId: "chat", lastNumber: "9", lookedNumber: "7", startNumber: "2" },
      jobCounts: [
        { state: "JOB_STATE_OPEN", count: 1 },
        { state: "JOB_STATE_LEASED", count: 1 },
      ],
      openJobs: [
        {
          kind: "JOB_KIND_TOOL",
          name: "pay",
          nodeId: "ask",
          state: "JOB_STATE_LEASED",
          attempt: 2,
          lease: { workerSessionId: "w-1", serverId: "s1", number: 1 },
          reason: { kind: "JOB_REASON_KIND_AT_WORKER", message: "Worker w-1 at server s1 has it." },
        },
        {
          kind: "JOB_KIND_TOOL",
          name: "look",
          nodeId: "ask",
          state: "JOB_STATE_OPEN",
          attempt: 1,
          dueTime: "2026-01-03T00:00:00Z",
          reason: { kind: "JOB_REASON_KIND_NO_WORKER", message: "No worker that serves it is connected." },
        },
      ],
    });
    const { out } = await cli(["run", "explain", "r1"], { runtime: { explainRun: () => ({ explanation }) } });
    expect(out).toBe(
      [
        "next     Worker \\u001b gives it.",
        "run      r1 (ask version 1)",
        "status   running",
        "node     ask",
        "owner    server s1, lane 12: lease renewed 1.3 s ago, as seen from here (boot \\u009b 7)",
        "records  3, of which its row does not have 2 yet",
        "mail     cancel (2026-01-01T00:00:00.000Z), 2 more",
        "wakes    not by itself",
        "channel  session chat: last event 9, looked up to 7, run started after 2",
        "jobs     1 open, 1 leased",
        "read at  2026-01-02T00:00:00.000Z",
        "",
        "JOB        STATE   ATTEMPT  DUE                       WORKER  WHY",
        "tool pay   leased  2                                  w-1     Worker w-1 at server s1 has it.",
        "tool look  open    1        2026-01-03T00:00:00.000Z          No worker that serves it is connected.",
        "",
      ].join("\n"),
    );
  });

  it.each([
    [{ serverId: "s1", laneId: "1", lease: "LEASE_STATE_ENDED" }, "server s1, lane 1: its lease has ended"],
    [{ laneId: "1", lease: "LEASE_STATE_ENDED" }, "server unknown, lane 1: its lease has ended"],
    [{ serverId: "s1", laneId: "1", lease: "LEASE_STATE_OTHER" }, "server s1, lane 1: lease not seen yet"],
    [
      { serverId: "s1", laneId: "1", lease: "LEASE_STATE_OWN", sinceRenewal: "0s" },
      "server s1, lane 1, the server that answers: lease renewed 0.0 s ago, as seen from here",
    ],
  ])("shows the owner %j", async (owner, shown) => {
    const explanation = explanationWith({ owner });
    const { out } = await cli(["run", "explain", "r1"], { runtime: { explainRun: () => ({ explanation }) } });
    expect(out).toContain(`owner    ${shown}\n`);
  });

  it("--json gives the explanation's JSON, and a refusal its exit code", async () => {
    const explanation = explanationWith({ next });
    const { out } = await cli(["--json", "run", "explain", "r1"], { runtime: { explainRun: () => ({ explanation }) } });
    expect(JSON.parse(out)).toEqual({ run: RUN, next, readTime: "2026-01-02T00:00:00Z" });
    const unknown = () => refuse(Code.NotFound, "RUN_UNKNOWN", "There is no run r1.");
    const refused = await cli(["run", "explain", "r1"], { runtime: { explainRun: unknown } });
    expect(refused.code).not.toBe(0);
    expect(refused.err).toContain("There is no run r1.");
  });
});

describe("run get and list", () => {
  it("get shows a run to people, without what a terminal obeys", async () => {
    const run = runWith({
      ...COMPLETED,
      vars: { "a\u001b": "b\u009b" },
      labels: { team: "x" },
      error: { code: "OOPS", message: "it\nbroke", nodeId: "ask" },
    });
    const { out } = await cli(["run", "get", "r1"], { runtime: { getRun: () => ({ run }) } });
    expect(out).toBe(
      [
        "run       r1",
        "workflow  ask version 1",
        "status    completed",
        "node      ask",
        "labels    team=x",
        "records   3",
        "created   2026-01-01T00:00:00.000Z",
        "updated   2026-01-01T00:00:01.000Z",
        "error     OOPS: it",
        "          broke (node ask)",
        "vars      {",
        '            "a\\u001b": "b\\u009b"',
        "          }",
        "output    {",
        '            "ok": true',
        "          }",
        "",
      ].join("\n"),
    );
  });

  it("get --json gives the run's JSON", async () => {
    const { out } = await cli(["--json", "run", "get", "r1"], {
      runtime: { getRun: () => ({ run: runWith(COMPLETED) }) },
    });
    expect(JSON.parse(out)).toEqual({ ...RUN, ...COMPLETED });
  });

  it("list passes the filter on, reads pages up to the limit, and says that there is more", async () => {
    const list = recorder(listRuns.input, (count) => ({
      runs: [runWith({ runId: `r${count}` }), runWith({ runId: `s${count}`, paused: true })],
      nextPageToken: `t${count}`,
    }));
    const argv = [
      "run",
      "list",
      "--status",
      "running,waiting",
      "--workflow",
      "ask",
      "--label",
      "a=b",
      "--paused",
      "--oldest",
      "--limit",
      "4",
    ];
    const { out, err } = await cli(argv, { runtime: { listRuns: list.method } });
    const filter = {
      workflowId: "ask",
      statuses: ["RUN_STATUS_RUNNING", "RUN_STATUS_WAITING"],
      labels: { a: "b" },
      paused: true,
    };
    expect(list.requests).toEqual([
      { filter, order: "RUN_ORDER_CREATE_TIME_ASC", pageSize: 4 },
      { filter, order: "RUN_ORDER_CREATE_TIME_ASC", pageSize: 2, pageToken: "t1" },
    ]);
    expect(out.split("\n").map((line) => line.split(/\s{2,}/)[0])).toEqual(["RUN", "r1", "s1", "r2", "s2", ""]);
    expect(out).toContain("running (paused)");
    expect(err).toBe("4 shown, there are more: use --limit N or --all\n");
  });

  it("list --all reads to the end", async () => {
    const list = recorder(listRuns.input, (count) => ({
      runs: [runWith()],
      nextPageToken: count < 3 ? `t${count}` : "",
    }));
    const { out } = await cli(["run", "list", "--all", "--json"], { runtime: { listRuns: list.method } });
    expect(JSON.parse(out)).toEqual({ runs: [RUN, RUN, RUN], nextPageToken: "" });
  });
});

describe("run watch", () => {
  it("of one run shows its records to the end, across a lost connection", async () => {
    const opened: number[] = [];
    async function* watchRun({
      afterSeq,
    }: {
      afterSeq: number;
    }): AsyncGenerator<MessageInitShape<typeof WatchRunResponseSchema>> {
      opened.push(afterSeq);
      if (opened.length === 1) {
        yield { cursor: "1", event: { case: "stepRecord" as const, value: { seq: 1, kind: "run.started" } } };
        yield { cursor: "1", event: { case: "heartbeat" as const, value: {} } };
        throw new ConnectError("gone", Code.Unavailable);
      }
      if (opened.length === 2) throw new ConnectError("still gone", Code.Unavailable);
      yield { cursor: "2", event: { case: "stepRecord" as const, value: { seq: 2, kind: "run.completed" } } };
    }
    const { code, out, err } = await cli(["run", "watch", "r1"], { runtime: { watchRun } });
    const lost = "connection lost (still gone), trying again\n";
    expect({ code, opened, err }).toEqual({ code: 0, opened: [0, 1, 1], err: lost });
    expect(
      out
        .trim()
        .split("\n")
        .map((line) => line.trim().split(/\s+/)),
    ).toEqual([
      ["1", "run.started"],
      ["2", "run.completed"],
    ]);
  });

  it("of all runs goes on from the cursor, and ends with it at Ctrl-C", async () => {
    let interrupt = (): void => {};
    const requests: unknown[] = [];
    async function* watch(
      request: Message,
      { signal }: { signal: AbortSignal },
    ): AsyncGenerator<MessageInitShape<typeof WatchRunsResponseSchema>> {
      requests.push(toJson(watchRuns.input, request as never));
      yield {
        cursor: `c${requests.length}`,
        event: { case: "notice" as const, value: { noticeId: "n", kind: 2, run: runWith(WAITING) } },
      };
      if (requests.length === 1) throw new ConnectError("gone", Code.Unavailable);
      interrupt();
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    }
    const onInterrupt = (listener: () => void) => {
      interrupt = listener;
      return () => {};
    };
    const { code, out, err } = await cli(["run", "watch", "--kind", "waiting", "--cursor", "c0"], {
      runtime: { watchRuns: watch },
      deps: { onInterrupt },
    });
    expect(code).toBe(0);
    expect(requests).toEqual([
      { filter: {}, kinds: ["NOTICE_KIND_WAITING"], cursor: "c0" },
      { filter: {}, kinds: ["NOTICE_KIND_WAITING"], cursor: "c1" },
    ]);
    expect(out.split("\n")[0]).toBe(
      "2026-01-01T00:00:01.000Z  waiting    r1  ask@1  waiting (user)  Approve? [yes | no]",
    );
    expect(err).toMatch(/continue with --cursor c\d\n$/);
  });
});

describe("run answer", () => {
  const answered = () => recorder(resumeRun.input, () => ({ run: runWith() }));
  const getRun = () => ({ run: runWith(WAITING) });

  it("finds the open question and answers it, safe to repeat", async () => {
    const resume = answered();
    const { code } = await cli(["run", "answer", "r1", "yes", "--actor", "ada"], {
      runtime: { getRun, resumeRun: resume.method },
    });
    expect(code).toBe(0);
    expect(resume.requests).toEqual([
      { runId: "r1", waitId: "w1", payload: { answer: "yes" }, requestId: "id-1", actorId: "ada" },
    ]);
  });

  it("answers the wait that is named, with JSON", async () => {
    const resume = answered();
    const getWait = () => ({ wait: waitWith({ waitId: "w7" }) });
    await cli(["run", "answer", "r1", '{"a": [1]}', "--json-answer", "--wait-id", "w7"], {
      runtime: { getWait, resumeRun: resume.method },
    });
    expect(resume.requests).toEqual([
      { runId: "r1", waitId: "w7", payload: { answer: { a: [1] } }, requestId: "id-1" },
    ]);
  });

  it("asks at the terminal and takes the number of a choice", async () => {
    const resume = answered();
    const { err, out } = await cli(["run", "answer", "r1", "--json"], {
      runtime: { getRun, resumeRun: resume.method },
      stdin: "2\n",
    });
    expect(resume.requests).toMatchObject([{ payload: { answer: "no" } }]);
    expect(err).toMatch(/Approve\?[^]*1 {2}yes\n {2}2 {2}no\nanswer or number> $/);
    expect(JSON.parse(out)).toEqual(RUN);
  });

  it("sends nothing when nothing is typed", async () => {
    const resume = answered();
    const { code, err } = await cli(["run", "answer", "r1"], {
      runtime: { getRun, resumeRun: resume.method },
      stdin: "",
    });
    expect({ code, requests: resume.requests }).toEqual({ code: 2, requests: [] });
    expect(err).toMatch(/no answer was given\n$/);
  });

  it.each<[string, JsonObject, RegExp]>([
    ["that has ended", COMPLETED, /^run r1 is not waiting for an answer: it is completed\n$/],
    [
      "that waits for an event",
      { status: "RUN_STATUS_WAITING", waiting: { ...QUESTION, reason: "WAIT_REASON_EVENT" } },
      /^run r1 is not waiting for a person; it waits for: event/,
    ],
  ])("says why it cannot answer a run %s", async (_what, fields, message) => {
    const { code, err } = await cli(["run", "answer", "r1", "yes"], {
      runtime: { getRun: () => ({ run: runWith(fields) }) },
    });
    expect(code).toBe(1);
    expect(err).toMatch(message);
  });
});

describe("run cancel, pause, unpause, tick", () => {
  it("send what they are told", async () => {
    const cancel = recorder(cancelRun.input, () => ({ run: runWith() }));
    const tick = recorder(tickRun.input, () => ({ run: runWith() }));
    const reply = () => ({ run: runWith({ paused: true }) });
    const runtime = { cancelRun: cancel.method, tickRun: tick.method, pauseRun: reply, unpauseRun: reply };
    await cli(["run", "cancel", "r1", "--reason", "why", "--actor", "ada"], { runtime });
    expect(cancel.requests).toEqual([{ runId: "r1", reason: "why", actorId: "ada" }]);
    await cli(["run", "tick", "r1", "--steps", "3"], { runtime });
    expect(tick.requests).toEqual([{ runId: "r1", maxSteps: 3 }]);
    expect((await cli(["run", "pause", "r1"], { runtime })).out).toContain("running (paused)");
    expect((await cli(["run", "unpause", "r1", "--json"], { runtime })).code).toBe(0);
  });
});

describe("inbox", () => {
  it("lists questions", async () => {
    const list = recorder(listWaits.input, () => ({ waits: [waitWith({ assignees: ["finance"] })] }));
    const { out } = await cli(["inbox", "--assignee", "finance", "--workflow", "ask"], {
      runtime: { listWaits: list.method },
    });
    expect(list.requests).toEqual([{ filter: { workflowId: "ask", assignee: "finance" }, pageSize: 50 }]);
    expect(out).toBe(
      "RUN  WORKFLOW  NODE  ASSIGNEES  DUE  PROMPT\nr1   ask       ask   finance         Approve? [yes | no]\n",
    );
  });

  it("-i goes through all questions, those that answers lead to as well", async () => {
    // Three are open at first; answering b's leads to a second one of b.
    const open = new Map(["a", "b", "c"].map((runId) => [`w-${runId}`, waitWith({ waitId: `w-${runId}`, runId })]));
    const resume = recorder(resumeRun.input, (count) => {
      if (count === 1) refuse(Code.InvalidArgument, "ANSWER_INVALID", "not that");
      if (count === 2) refuse(Code.FailedPrecondition, "WAIT_ALREADY_ANSWERED", "too late");
      if (count === 3) open.set("w-b2", waitWith({ waitId: "w-b2", runId: "b" }));
      return { run: runWith(COMPLETED) };
    });
    const stdin = ["maybe", "1", "2", "", "yes"].join("\n");
    const { code, out, err } = await cli(["inbox", "-i"], {
      runtime: { listWaits: () => ({ waits: [...open.values()] }), resumeRun: resume.method },
      stdin,
    });
    expect(code).toBe(0);
    expect(
      resume.requests
        .map((request) => request as { waitId: string; payload: unknown })
        .map(({ waitId, payload }) => [waitId, payload]),
    ).toEqual([
      ["w-a", { answer: "maybe" }],
      ["w-a", { answer: "yes" }],
      ["w-b", { answer: "no" }],
      ["w-b2", { answer: "yes" }],
    ]);
    expect(out).toBe("b: completed\nb: completed\n");
    expect(err).toContain("ANSWER_INVALID: not that");
    expect(err).toContain("WAIT_ALREADY_ANSWERED: too late");
    expect(err).toMatch(/2 answered\n$/);
  });

  it("-i ends with the input", async () => {
    const { code, err } = await cli(["inbox", "--answer"], {
      runtime: { listWaits: () => ({ waits: [waitWith()] }) },
      stdin: "",
    });
    expect(code).toBe(0);
    expect(err).toMatch(/0 answered\n$/);
  });
});

describe("event emit", () => {
  it.each<[string[], object]>([
    [[], { scope: "SCOPE_GLOBAL" }],
    [["--scope", "global"], { scope: "SCOPE_GLOBAL" }],
    [["--run", "r1"], { scope: "SCOPE_RUN", runId: "r1" }],
    [["--scope", "session", "--session", "s"], { scope: "SCOPE_SESSION", sessionId: "s" }],
    [
      ["--workflow", "w", "--key", "k", "--payload", "null", "--event-id", "e1", "--actor", "ada"],
      { scope: "SCOPE_WORKFLOW", workflowId: "w", key: "k", payload: null, eventId: "e1", actorId: "ada" },
    ],
  ])("with %j", async (argv, request) => {
    const emit = recorder(emitEvent.input, () => ({ eventId: "e", delivered: 1 }));
    const { out } = await cli(["event", "emit", "go", ...argv], { runtime: { emitEvent: emit.method } });
    expect(emit.requests).toEqual([{ name: "go", eventId: "id-1", ...request }]);
    expect(out).toBe("e: delivered to 1 run\n");
  });
});

describe("ledger list", () => {
  const ledger = (seqs: number, requests: unknown[]): NonNullable<Fakes["ledger"]> => ({
    listStepRecords: (request) => {
      requests.push(toJson(LedgerService.method.listStepRecords.input, request));
      const next = request.afterSeq + 1;
      return {
        stepRecords: next > seqs ? [] : [{ seq: next, kind: "step.completed", nodeId: "ask", hash: "0".repeat(64) }],
      };
    },
  });

  it("reads page after page to the end, as one document", async () => {
    const requests: unknown[] = [];
    const { out } = await cli(["ledger", "list", "r1", "--json", "--proof", "--after", "1"], {
      ledger: ledger(3, requests),
    });
    expect(JSON.parse(out)).toMatchObject({ stepRecords: [{ seq: 2 }, { seq: 3 }] });
    expect(requests[0]).toEqual({ runId: "r1", afterSeq: 1, pageSize: 1000, includeProof: true });
    expect(requests).toHaveLength(3);
    expect(JSON.parse((await cli(["ledger", "list", "r1", "--json"], { ledger: ledger(0, []) })).out)).toEqual({
      stepRecords: [],
    });
  });

  it("keeps to --limit", async () => {
    const { out } = await cli(["ledger", "list", "r1", "--limit", "2"], { ledger: ledger(9, []) });
    expect(out.trim().split("\n")).toHaveLength(2);
  });

  it("--follow waits until the run has ended and its last record is there", async () => {
    const requests: unknown[] = [];
    let asked = 0;
    // The run ends with record 2 between two looks, so the first look must not be the last.
    const runtime = { getRun: () => ({ run: runWith(++asked === 1 ? {} : { ...COMPLETED, seq: 2 }) }) };
    const { out } = await cli(["ledger", "list", "r1", "--follow", "--json"], { ledger: ledger(2, requests), runtime });
    expect(
      out
        .trim()
        .split("\n")
        .map((line) => (JSON.parse(line) as { seq: number }).seq),
    ).toEqual([1, 2]);
    expect(requests[0]).toEqual({ runId: "r1", pageSize: 1000, wait: "30s" });
    expect(asked).toBe(2);
  });
});
