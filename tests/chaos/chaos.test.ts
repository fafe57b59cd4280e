/**
 * Runs of parallel tool calls. Workers are killed every 2 s, and a real TCP proxy makes their connections go silent, be
 * delayed, reset, cut and refused. Every run ends, every ledger verifies, and no call that was recorded as completed
 * runs again. In the second scenario servers are killed as well, and workers move between them.
 *
 *   CHAOS_RUNS=1000 CHAOS_SEED=7 npx vitest run tests/chaos
 *
 * With CHAOS_INTERVALS=default, servers and workers detect each other's absence after the default intervals; otherwise
 * after about a tenth of them. The seed decides what happens to whom, but not how the machine interleaves it.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, type WorkerTiming } from "@abstractruntime/sdk";
import postgres from "postgres";
import { describe, expect, test } from "vitest";
import { createApi } from "../conformance/api.ts";
import { type ServerProcess, startServerProcess } from "../conformance/server.ts";
import { createChance } from "../crash/chance.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { openTcpProxy } from "../support/tcp-proxy.ts";
import { type AuditedRun, auditTool, type CompletedCall, completedCalls, ledgerProblems, quantiles } from "./audit.ts";
import { type Bounds, type KillableServer, startChaos } from "./chaos.ts";
import { type StartedRun, startLoad } from "./load.ts";
import { type LogLine, openToolLog, readToolLog } from "./tool-log.ts";
import { createWorkerProcess } from "./worker-process.ts";

const RUNS = Number(process.env["CHAOS_RUNS"] ?? 120);
const SEED = Number(process.env["CHAOS_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const WORKERS = 3;
const RUNS_AT_A_TIME = 30;

type Intervals = {
  server: Readonly<Record<string, string>>;
  worker: Partial<WorkerTiming>;
  blackHoleMs: Bounds;
  serverKillMs: Bounds;
};
const INTERVALS: Intervals =
  process.env["CHAOS_INTERVALS"] === "default"
    ? { server: {}, worker: {}, blackHoleMs: [20_000, 40_000], serverKillMs: [50_000, 70_000] }
    : {
        server: {
          ABSTRACTRUNTIME_WORKER_PING_MS: "1000",
          ABSTRACTRUNTIME_WORKER_SILENCE_MS: "3000",
          ABSTRACTRUNTIME_WORKER_RECONNECT_MS: "1000",
          ABSTRACTRUNTIME_WORKER_ORPHAN_MS: "3500",
          // Not shortened: an offer that is late on a busy machine must not be taken for a lost one.
          ABSTRACTRUNTIME_WORKER_ACCEPT_MS: "5000",
        },
        worker: { welcomeTimeoutMs: 2_000, backoffMsMax: 1_000 },
        blackHoleMs: [2_000, 4_000],
        serverKillMs: [8_000, 16_000],
      };
/** The limit for a run that hangs, on a machine that is busy with other tests. */
const OVERALL_MS = 300_000 + RUNS * 2_000;
/** The number of problems shown: the first ones say what is wrong. */
const SHOWN_MAX = 20;
/** Runs audited at the same time. */
const READERS = 8;

describe.each([
  { name: "one server", servers: 1, runs: RUNS, killsServers: false },
  { name: "two servers that are killed too", servers: 2, runs: Math.ceil(RUNS / 3), killsServers: true },
])("$name", ({ servers, runs, killsServers }) => {
  test(
    `${runs} runs end, and nothing that is recorded runs again (CHAOS_SEED=${SEED})`,
    { timeout: OVERALL_MS + 60_000 },
    async () => {
      await using world = await createWorld(servers);
      try {
        const { audited, lines, completed, leases, toolProblems, counts } = await runInChaos(world, runs, killsServers);
        expect(toolProblems.slice(0, SHOWN_MAX)).toEqual([]);
        expect(audited.flatMap(ledgerProblems).slice(0, SHOWN_MAX)).toEqual([]);
        expect(audited.length).toBe(runs);
        expect(world.workers.flatMap(({ surprises }) => surprises)).toEqual([]);
        expect(world.errors().slice(0, SHOWN_MAX)).toEqual([]);
        expect(counts["worker kills"]).toBeGreaterThan(0);
        expect((counts["server kills"] ?? 0) > 0).toBe(killsServers);
        expectAuditToFail(lines, completed, leases);
        // What remains must be in order: idle workers drain and end.
        const codes = await Promise.all(world.workers.map((worker) => worker.stop()));
        expect(codes).toEqual(codes.map(() => 0));
      } catch (error) {
        console.log(await world.explain());
        throw error;
      }
    },
  );
});

/** Runs this many runs to their ends in the chaos, and reads what they left. */
async function runInChaos(world: World, total: number, killsServers: boolean) {
  const { client, log, workers, proxies } = world;
  const chance = createChance(SEED);
  const startedAt = performance.now();
  const seconds = (): number => Math.round((performance.now() - startedAt) / 100) / 10;
  const chaos = startChaos({
    chance: chance.fork(),
    workers,
    proxies,
    servers: killsServers ? world.servers : [],
    blackHoleMs: INTERVALS.blackHoleMs,
    serverKillMs: INTERVALS.serverKillMs,
  });
  const signal = AbortSignal.timeout(OVERALL_MS);
  const load = startLoad({ client, chance: chance.fork(), total, atATime: RUNS_AT_A_TIME, log, signal });
  try {
    await Promise.race([load.done, chaos.failed]);
  } finally {
    await chaos.end();
  }
  const endedS = seconds();

  const audited = await world.readRuns(load.runs);
  const lines = readToolLog(world.toolLogFile);
  const completed = audited.flatMap(({ records }) => completedCalls(records));
  const leases = await world.readLeases();
  const { problems: toolProblems, ...numbers } = auditTool(lines, completed, leases);
  const runMs = load.runs.map(({ startedAt: from, endedAt = Number.NaN }) => endedAt - from);
  console.log(
    JSON.stringify({
      seed: SEED,
      runs: audited.length,
      records: audited.reduce((sum, { records }) => sum + records.length, 0),
      ...chaos.counts,
      ...numbers,
      runMs: quantiles(runMs),
      seconds: { endedS, auditedS: seconds() },
    }),
  );
  return { audited, lines, completed, leases, toolProblems, counts: chaos.counts };
}

/** The same audit finds each thing that it looks for, in the same file with one line more, fewer or elsewhere. */
function expectAuditToFail(
  lines: readonly LogLine[],
  completed: readonly CompletedCall[],
  leases: ReadonlyMap<string, number>,
): void {
  const { key, output } = completed[Math.floor(completed.length / 2)]!;
  const isOfOutput = (line: LogLine): boolean => line.event !== "seen" && line.execution === output.execution;
  const start = lines.find(isOfOutput)!;
  // Too few leases are tested separately, below.
  const manyLeases = new Map([...leases, [key, Number.POSITIVE_INFINITY], ["another", 1]]);
  const problemsOf = (changed: readonly LogLine[]): string =>
    auditTool(changed, completed, manyLeases).problems.join("\n");
  const again = { ...start, execution: "again" };
  expect(problemsOf([...lines, again])).toMatch(`${key} was recorded as completed and ran again`);
  const isSeen = (line: LogLine): boolean => line.event === "seen" && line.key === key;
  const seenAt = lines.findIndex(isSeen);
  expect(problemsOf(lines.toSpliced(seenAt, 0, again))).toBe("");
  expect(problemsOf(lines.toSpliced(seenAt + 1, 0, again))).toMatch("ran again");
  expect(problemsOf(lines.filter((line) => !isOfOutput(line)))).toMatch("none of its executions gave");
  expect(problemsOf(lines.filter((line) => !(isOfOutput(line) && line.event === "end")))).toMatch("not given by then");
  expect(problemsOf(lines.filter((line) => !isSeen(line)))).toMatch(`nobody has seen ${key} completed`);
  expect(problemsOf([...lines, { ...start, key: "another" }])).toBe("another ran, and is completed nowhere");
  const runs = lines.filter((line) => line.event === "start" && line.key === key).length;
  const fewLeases = new Map([...leases, [key, runs - 1]]);
  expect(auditTool(lines, completed, fewLeases).problems).toEqual([
    `${key} ran ${runs} times under ${runs - 1} leases`,
  ]);
  expect(auditTool(lines, [...completed, completed[0]!], leases).problems).toContain(
    `${completed[0]!.key} is completed 2 times`,
  );
}

type World = Awaited<ReturnType<typeof createWorld>>;

/** Servers on one database, workers, and a proxy for each way from a worker to a server. */
async function createWorld(serverCount: number) {
  const directory = mkdtempSync(join(tmpdir(), "chaos-"));
  const database = await createTestDatabase();
  const env = { DATABASE_URL: database.url, ...INTERVALS.server };
  const processes = await Promise.all(Array.from({ length: serverCount }, () => startServerProcess({ env })));
  const errors: string[] = [];
  const servers = processes.map((_, index): KillableServer => ({
    async kill() {
      const killed = processes[index]!;
      await killed.kill();
      errors.push(...killed.errors());
    },
    async start() {
      processes[index] = await startServerProcess({ env, port: processes[index]!.port });
    },
  }));
  const serverUrls = processes.map(({ url }) => url);
  const toolLogFile = join(directory, "tool.log");
  const log = openToolLog(toolLogFile);
  const client = new Client({ addresses: serverUrls, deadlineMs: 120_000 });
  const ways = await Promise.all(
    Array.from({ length: WORKERS }, () => Promise.all(serverUrls.map((url) => openTcpProxy(url)))),
  );
  const workers = ways.map((proxies, index) => {
    // Each begins with another server.
    const addresses = proxies.map((_, step) => proxies[(index + step) % proxies.length]!.url);
    const name = `worker-${index + 1}`;
    const { worker: timing } = INTERVALS;
    return createWorkerProcess({ name, addresses, toolLog: toolLogFile, timing }, workerLog(name));
  });
  for (const worker of workers) worker.start();
  let isKept = false;
  const allErrors = (): string[] => [...errors, ...processes.flatMap((server: ServerProcess) => server.errors())];

  function workerLog(name: string): string {
    return join(directory, `${name}.log`);
  }

  async function readRun({ runId, firstCalls }: StartedRun): Promise<AuditedRun> {
    const api = createApi({ url: serverUrls[0]! });
    const { run } = await api.call("GetRun", { runId });
    const { stepRecords = [] } = await api.call("ListStepRecords", { runId, includeProof: true, pageSize: 1_000 });
    return { run, records: stepRecords, firstCalls };
  }

  return {
    servers,
    client,
    log,
    toolLogFile,
    workers,
    proxies: ways.flat(),
    errors: allErrors,

    async readRuns(runs: readonly StartedRun[]): Promise<AuditedRun[]> {
      const audited: AuditedRun[] = [];
      const rest = runs.values();
      const readNext = async (): Promise<void> => {
        for (const run of rest) audited.push(await readRun(run));
      };
      await Promise.all(Array.from({ length: READERS }, readNext));
      return audited;
    },

    /** How often each job was given to a worker; the ledgers do not say that. */
    async readLeases(): Promise<Map<string, number>> {
      const sql = postgres(database.url, { max: 1, onnotice: () => undefined });
      try {
        const rows = await sql<
          { idempotency_key: string; lease_no: number }[]
        >`select idempotency_key, lease_no from jobs`;
        return new Map(rows.map((row) => [row.idempotency_key, row.lease_no]));
      } finally {
        await sql.end();
      }
    },

    /**
     * The state after a failure: what has not ended, which worker has which job, and the last lines of the logs, which
     * are kept.
     */
    async explain(): Promise<string> {
      isKept = true;
      const sql = postgres(database.url, { max: 1, onnotice: () => undefined });
      try {
        const open = await sql`
          select r.run_id, r.status, r.seq, j.idempotency_key, j.kind, j.state,
            j.lease_no, j.worker_session, j.lease_server, j.lease_time, j.losses, j.attempt, j.due_at
          from runs r left join jobs j on j.run_id = r.run_id and j.state not in ('settled', 'cancelled')
          where r.status not in ('completed', 'failed', 'cancelled') limit ${SHOWN_MAX}`;
        const logs = workers.map((_, index) => {
          const name = `worker-${index + 1}`;
          return `${name}:\n${readFileSync(workerLog(name), "utf8").split("\n").slice(-SHOWN_MAX).join("\n")}`;
        });
        return [
          "not ended:",
          ...open.map((row) => JSON.stringify(row)),
          ...logs,
          "errors of servers:",
          ...allErrors().slice(-SHOWN_MAX),
          `all logs: ${directory}`,
        ].join("\n");
      } catch (error) {
        return String(error);
      } finally {
        await sql.end();
      }
    },

    async [Symbol.asyncDispose]() {
      await Promise.all(workers.map((worker) => worker.kill()));
      client.close();
      await Promise.all(ways.flat().map((proxy) => proxy.close()));
      await Promise.all(processes.map((server) => server.stop()));
      log.close();
      await database.drop();
      if (!isKept) rmSync(directory, { recursive: true, force: true });
    },
  };
}
