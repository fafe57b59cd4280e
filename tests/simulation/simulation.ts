/**
 * The life of some servers on one database, chosen at random from one seed: what clients request, how calls interleave,
 * which replies are lost, which servers die, are fenced or stop, and when the database is unavailable. Time is
 * simulated.
 *
 * The check: what was acknowledged must be there in the end, and what is there must be consistent.
 */
import type { Wait } from "../../server/src/core/wait.ts";
import type { AnyRecord } from "../../server/src/core/records.ts";
import crypto from "node:crypto";
import { syncBuiltinESMExports } from "node:module";
import { vi } from "vitest";
import { channelOf, eventQuery } from "../../server/src/core/channel.ts";
import type { Channel, Scope } from "../../server/src/core/event.ts";
import { draftFromSealed } from "../../server/src/core/ledger-format.ts";
import { hasEnded, isActive, type RunState, openWaitOf } from "../../server/src/core/run.ts";
import type { Caller, EmitRequest, StartRequest } from "../../server/src/engine/api.ts";
import { PERMISSIONS } from "../../server/src/engine/caller.ts";
import { createEngine, type RunningEngine } from "../../server/src/engine/engine.ts";
import {
  BatchOutcomeUnknownError,
  LaneFencedError,
  StoreUnavailableError,
} from "../../server/src/store/contract/errors.ts";
import type { RunKey } from "../../server/src/store/contract/runs.ts";
import type { Store, Verb } from "../../server/src/store/contract/store.ts";
import { mapVerbs } from "../../server/src/store/map-verbs.ts";
import { createMemoryDatabase, createMemoryStore } from "../../server/src/store/memory/store.ts";
import { ledgerProblems, readLedger } from "../support/engine.ts";
import { GRAPHS } from "./graphs.ts";
import { createRandom, type Random } from "./random.ts";

const CALLER: Caller = { tenantId: "simulated", may: PERMISSIONS };
const SERVERS_MAX = 3;
const RUNS_MAX = 40;
const STEPS = 120;
/**
 * The most rounds until everything must be over. A minute of simulated time for each is far more than any sweep needs.
 */
const ROUNDS_MAX = 120;

/** Refusals after which a client tries again. */
const TRANSIENT: ReadonlySet<unknown> = new Set([
  "DATABASE_UNAVAILABLE",
  "SHUTTING_DOWN",
  "OVERLOADED",
  "TRANSITION_CONFLICT",
]);

type Server = { engine: RunningEngine; store: Store; isAlive: boolean; cut(): void; ended?: Promise<void> };

export type Outcome = { problems: string[]; runs: number; records: number; acknowledged: number; history: string[] };

export async function simulate(seed: number): Promise<Outcome> {
  const random = createRandom(seed);
  vi.useFakeTimers({
    now: Date.UTC(2026, 2, 1),
    toFake: [
      "setTimeout",
      "clearTimeout",
      "setInterval",
      "clearInterval",
      "setImmediate",
      "clearImmediate",
      "Date",
      "performance",
    ],
  });
  const realUuid = crypto.randomUUID;
  // Ids of servers and lanes come from the seed as well.
  crypto.randomUUID = () => {
    const digits = Array.from({ length: 32 }, () => random.below(16).toString(16)).join("");
    return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5") as ReturnType<
      typeof crypto.randomUUID
    >;
  };
  syncBuiltinESMExports();
  try {
    return await live(random);
  } finally {
    crypto.randomUUID = realUuid;
    syncBuiltinESMExports();
    vi.useRealTimers();
  }
}

async function live(random: Random): Promise<Outcome> {
  const nowMicros = (): number => Math.round((performance.timeOrigin + performance.now()) * 1000);
  const database = createMemoryDatabase({ now: nowMicros });
  const problems: string[] = [];
  const history: string[] = [];
  const servers: Server[] = [];
  const clients = new Set<Promise<void>>();
  /** What was acknowledged. */
  const starts = new Map<string, StartRequest>();
  const answers: { runId: string; requestId: string }[] = [];
  const events: EmitRequest[] = [];
  const notices: string[] = [];
  let isCalm = false;
  let lastNumber = 0;
  const nextNumber = (): number => (lastNumber += 1);
  const say = (text: string): number => history.push(`${Math.round(performance.now())} ${text}`);

  database.faults.turn = async () => {
    if (isCalm) return;
    if (random.percent(20)) await pause(random.below(60));
    else for (let count = random.below(4); count > 0; count--) await Promise.resolve();
  };
  database.faults.beforeCommit = () => {
    if (isCalm) return;
    if (random.percent(1)) throw new BatchOutcomeUnknownError("lost on the way there");
    if (random.percent(1)) throw new StoreUnavailableError("refused");
  };
  database.faults.afterCommit = () => {
    if (!isCalm && random.percent(2)) throw new BatchOutcomeUnknownError("lost on the way back");
  };

  async function startServer(): Promise<void> {
    const inner = await createMemoryStore(database);
    let isCut = false;
    const assertAlive = (verb: Verb): void => {
      if (isCut) throw verb === "batches.commit" ? new LaneFencedError("dead") : new StoreUnavailableError("dead");
    };
    const mortal = mapVerbs(inner, async (verb, perform) => {
      assertAlive(verb);
      const result = await perform();
      assertAlive(verb);
      return result;
    });
    const store: Store = { ...inner, ...mortal };
    // A server's clock may be wrong; only the database's counts.
    const skew = random.below(5_000_000) - 2_500_000;
    const nothing = (): void => undefined;
    const error = (...said: unknown[]): void => {
      if (!isCut) problems.push(`a server logged an error: ${describe(said)}`);
    };
    const levels = { trace: nothing, debug: nothing, info: nothing, warn: nothing, error, fatal: error };
    const log = { ...levels, isLevelEnabled: () => true };
    const engine = createEngine({
      store,
      log: log as unknown as Parameters<typeof createEngine>[0]["log"],
      settings: { lanes: 2, renewMs: 200, leaseMs: 1_000, strayMs: 1_000, pollMs: 500, heartbeatMs: 2_000 },
      clocks: { steadyMicros: () => nowMicros() + skew, dayMicros: nowMicros },
    });
    try {
      await engine.start();
      for (const graph of GRAPHS) await engine.registerWorkflow(CALLER, graph);
    } catch {
      // The database is unavailable: a process that cannot start ends.
      isCut = true;
      await engine.stop();
      return;
    }
    servers.push({
      engine,
      store: inner,
      isAlive: true,
      cut: () => {
        isCut = true;
      },
    });
    say(`server ${servers.length} started`);
  }

  const alive = (): Server[] => servers.filter(({ isAlive }) => isAlive);

  function end(server: Server, how: "killed" | "stopped"): void {
    server.isAlive = false;
    if (how === "killed") server.cut();
    say(`server ${servers.indexOf(server) + 1} ${how}`);
    const stopping = server.engine.stop();
    // The rest of a killed server asks for the outcome of its last batch for ever; nothing waits for it.
    if (how === "stopped") server.ended = stopping;
    else stopping.catch((error: unknown) => problems.push(describe(error)));
  }

  /** Makes a client try until it gets a reply, at another server each time. */
  function ask(what: string, work: (engine: RunningEngine) => Promise<unknown>, acknowledged: () => void): void {
    const client = (async () => {
      for (;;) {
        const server = alive().length === 0 ? undefined : random.pick(alive());
        if (server === undefined) {
          await pause(100);
          continue;
        }
        // A server that dies in the middle does not reply.
        const told = await Promise.race([work(server.engine).then(() => "done", reasonOf), untilDead(server)]);
        if (told === "done") {
          say(`${what}: done`);
          acknowledged();
          return;
        }
        if (told !== "dead" && !TRANSIENT.has(told)) {
          say(`${what}: ${String(told)}`);
          if (!EXPECTED.has(told)) problems.push(`${what}: ${describe(told)}`);
          return;
        }
        await pause(50 + random.below(200));
      }
    })();
    clients.add(client);
    client.finally(() => clients.delete(client)).catch((error: unknown) => problems.push(describe(error)));
  }

  async function untilDead(server: Server): Promise<"dead"> {
    while (server.isAlive) await pause(50);
    return "dead";
  }

  function start(): void {
    const number = nextNumber();
    const request: StartRequest = {
      runId: `run-${number}`,
      workflowId: random.pick(GRAPHS).workflowId,
      version: 0,
      vars: { key: `key-${random.below(3)}` },
      sessionId: `session-${random.below(3)}`,
      labels: {},
      limits: {},
      paused: random.percent(10),
    };
    ask(
      `start ${request.runId}`,
      (engine) => engine.startRun(CALLER, request),
      () => starts.set(request.runId!, request),
    );
  }

  function emit(): void {
    const number = nextNumber();
    const runs = [...starts.keys()];
    const targets: [Scope, string, string, string][] = [
      ["global", "", random.pick(["tick", "tock"]), ""],
      ["session", `session-${random.below(3)}`, random.pick(["note.made", "note.other", "go", "else"]), ""],
      ["workflow", "relay", "baton", `key-${random.below(3)}`],
      ...(runs.length === 0 ? [] : ([["run", random.pick(runs), "go", ""]] as [Scope, string, string, string][])),
    ];
    const [scope, scopeId, name, key] = random.pick(targets);
    const request: EmitRequest = { scope, scopeId, name, key, payload: number, eventId: `event-${number}` };
    ask(
      `emit ${request.eventId} ${name}`,
      (engine) => engine.emitEvent(CALLER, request),
      () => events.push(request),
    );
  }

  const asked = new Set<string>();

  /** Answers one of the open questions, sometimes with a second answer that races with the first. */
  async function reply(): Promise<void> {
    const { items } = await store().waits.list({ tenantId: CALLER.tenantId, filter: { reasons: ["user"] }, limit: 50 });
    const fresh = items.filter(({ wait }) => !asked.has(wait.wait_id));
    if (fresh.length === 0) return;
    const { runId, wait } = random.pick(fresh);
    asked.add(wait.wait_id);
    for (let count = random.percent(30) ? 2 : 1; count > 0; count--) {
      const requestId = `request-${nextNumber()}`;
      const request = { runId, waitId: wait.wait_id, payload: { answer: requestId }, requestId };
      ask(
        `answer ${runId} ${requestId}`,
        (engine) => engine.resumeRun(CALLER, request),
        () => answers.push(request),
      );
    }
  }

  function control(): void {
    const runs = [...starts.keys()];
    if (runs.length === 0) return;
    const runId = random.pick(runs);
    const verb = random.pick(["pauseRun", "pauseRun", "unpauseRun", "unpauseRun", "cancelRun", "tickRun"] as const);
    if (verb === "cancelRun" && random.percent(60)) return;
    const request = { runId, maxSteps: 3 };
    ask(
      `${verb} ${runId}`,
      (engine) => engine[verb](CALLER, request),
      () => undefined,
    );
  }

  /** A store of the test's own, without faults while it is used. */
  const own = await createMemoryStore({ ...database, faults: { away: false } });
  const store = (): Store => own;

  /** Follows the feed over all runs, from server to server, with only its last cursor. */
  let isReading = true;
  async function follow(): Promise<void> {
    let cursor = "beginning";
    while (isReading) {
      const server = alive()[0] === undefined ? undefined : random.pick(alive());
      if (server === undefined) {
        await pause(100);
        continue;
      }
      const hangUp = new AbortController();
      const patience = setTimeout(() => hangUp.abort(), 200 + random.below(3_000));
      try {
        const request = { filter: {}, kinds: [], cursor, signal: hangUp.signal };
        for await (const message of server.engine.watchRuns(CALLER, request)) {
          if (!server.isAlive) break;
          cursor = message.cursor;
          if (message.notice !== undefined) notices.push(message.notice.noticeId);
        }
      } catch (error) {
        const reason = reasonOf(error);
        if (!TRANSIENT.has(reason)) problems.push(`the feed: ${describe(reason)}`);
      }
      clearTimeout(patience);
      hangUp.abort();
      await pause(20);
    }
  }

  async function happen(): Promise<void> {
    const dice = random.below(100);
    if (dice < 22) {
      if (starts.size < RUNS_MAX) start();
    } else if (dice < 48) emit();
    else if (dice < 74) await reply();
    else if (dice < 84) control();
    else if (dice < 86) {
      if (alive().length > 0) end(random.pick(alive()), "killed");
    } else if (dice < 87) {
      if (alive().length > 0) end(random.pick(alive()), "stopped");
    } else if (dice < 95) {
      if (alive().length < SERVERS_MAX) await startServer();
    } else if (dice < 98) {
      const open = [...database.servers.values()].filter(({ ended }) => !ended);
      if (open.length > 0) {
        say("a lease is ended by another");
        await own.lanes.end(random.pick(open).serverId);
      }
    } else {
      database.faults.away = true;
      say("the database is away");
      setTimeout(
        () => {
          database.faults.away = false;
          say("the database is back");
        },
        100 + random.below(4_000),
      );
    }
  }

  /** Work that must not be left at rest: a server would have forgotten it. */
  async function forgotten(): Promise<string[]> {
    const found: string[] = [];
    const runs = await loadAll();
    const now = await own.now();
    for (const run of runs) {
      if (isActive(run)) found.push(`${run.runId} is active and stands still at ${run.node}`);
      const wait = openWaitOf(run);
      if (run.paused || hasEnded(run) || wait === undefined) continue;
      const { due_time } = wait;
      if (due_time !== undefined && due_time < now) found.push(`${run.runId} was due at ${due_time}`);
      if (wait.asks !== "event") continue;
      const [lookup] = await own.events.lookUp([eventQuery(run, wait)]);
      if (lookup!.event !== undefined) found.push(`${run.runId} did not take ${lookup!.event.eventId}`);
    }
    // Mail to a run that has ended is never acted on.
    const open = runs.filter((run) => !hasEnded(run)).map(({ tenantId, runId }) => ({ tenantId, runId }));
    const mail = await own.mail.list(open);
    found.push(...mail.map(({ runId, kind }) => `mail of ${runId} lies there: ${kind}`));
    return found;
  }

  async function loadAll(): Promise<RunState[]> {
    const page = await own.runs.list({ tenantId: CALLER.tenantId, filter: {}, order: "create_time_asc", limit: 1_000 });
    const runs = await own.runs.load(page.items.map(({ state }) => state));
    return runs.map((run) => run!.state);
  }

  /** Lets simulated time pass. */
  const pass = async (ms: number): Promise<void> => {
    await vi.advanceTimersByTimeAsync(ms);
  };

  // Life.
  const opening = startServer();
  await pass(1_000);
  await opening;
  const reader = follow();
  for (let step = 0; step < STEPS; step++) {
    const happening = Promise.all(Array.from({ length: 1 + random.below(4) }, happen));
    await pass(random.below(150));
    // What waits for the database waits in simulated time.
    await settleIn(happening, pass);
  }

  // Rest: nothing fails any more, and everything that was started is completed.
  isCalm = true;
  database.faults.away = false;
  if (alive().length === 0) await settleIn(startServer(), pass);
  say("calm");
  for (let round = 0; clients.size > 0 && round < ROUNDS_MAX; round++) await pass(1_000);
  if (clients.size > 0) problems.push(`${clients.size} clients were never answered`);
  await pass(15_000);
  problems.push(...(await forgotten()));
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const open = (await loadAll()).filter((run) => !hasEnded(run));
    if (open.length === 0) break;
    for (const run of open) {
      const { runId } = run;
      const wait = openWaitOf(run);
      if (run.paused)
        ask(
          `unpause ${runId}`,
          (engine) => engine.unpauseRun(CALLER, { runId }),
          () => undefined,
        );
      else if (wait !== undefined && isForPeople(wait)) await reply();
      else if (wait?.asks === "event") {
        const number = nextNumber();
        const { scope, scope_id, names, key } = wait;
        const name = names[0]!.replace("*", "");
        const request = {
          scope,
          scopeId: scope_id,
          name: name || "t",
          key: key ?? "",
          payload: number,
          eventId: `event-${number}`,
        };
        ask(
          `emit ${request.eventId} ${name}`,
          (engine) => engine.emitEvent(CALLER, request),
          () => events.push(request),
        );
      }
    }
    asked.clear();
    await pass(2_000);
  }
  await pass(5_000);
  isReading = false;
  await pass(5_000);
  await settleIn(reader, pass);

  // The check of what was acknowledged.
  const runs = await loadAll();
  let records = 0;
  for (const run of runs) {
    const key: RunKey = { tenantId: run.tenantId, runId: run.runId };
    if (!hasEnded(run)) problems.push(`${run.runId} has not ended: ${run.status} at ${run.node}`);
    problems.push(...(await ledgerProblems(own, key)).map((problem) => `${run.runId} ${problem}`));
    const drafts = (await readLedger(own, key)).map(draftFromSealed);
    records += drafts.length;
    problems.push(...consumptionProblems(run, drafts, await numbersOf(own, run)));
  }
  const byId = new Map(runs.map((run) => [run.runId, run]));
  for (const runId of starts.keys()) if (!byId.has(runId)) problems.push(`the acknowledged start of ${runId} is lost`);
  for (const { runId, requestId } of answers) {
    const drafts = (await readLedger(own, { ...CALLER, runId })).map(draftFromSealed);
    const found = drafts.filter(({ body }: AnyRecord) => body.request_id === requestId);
    if (found.length !== 1)
      problems.push(`the acknowledged answer ${requestId} of ${runId} is there ${found.length} times`);
  }
  for (const event of events) {
    const all = await own.events.list({ ...CALLER, scope: event.scope, scopeId: event.scopeId }, 0, 10_000);
    const found = all.filter(({ eventId }) => eventId === event.eventId);
    if (found.length !== 1) problems.push(`the acknowledged event ${event.eventId} is there ${found.length} times`);
  }
  const inFeed = [...database.lanes.values()].flatMap((lane) =>
    lane.feed.map(({ batchNo, ordinal }) => `${lane.laneId}-${lane.nonce}-${batchNo}-${ordinal}`),
  );
  if (new Set(notices).size !== notices.length) problems.push("the feed repeated itself");
  if (notices.length !== inFeed.length) problems.push(`the feed gave ${notices.length} of ${inFeed.length} notices`);
  for (const server of alive()) end(server, "stopped");
  await pass(20_000);
  await settleIn(Promise.all(servers.map(async ({ ended }) => await ended)), pass);
  await own.close();
  return { problems, runs: runs.length, records, acknowledged: starts.size + answers.length + events.length, history };
}

/** Refusals that a correct client of this simulation can get. */
const EXPECTED: ReadonlySet<unknown> = new Set([
  "WAIT_ALREADY_ANSWERED",
  "RUN_NOT_WAITING",
  "RUN_NOT_PAUSED",
  "RUN_ENDED",
  // Answered under its old number: the run was read again in the meantime.
  "WAIT_UNKNOWN",
]);

/** The numbers of all events that a run can have taken, by id. */
async function numbersOf(store: Store, run: RunState): Promise<Map<string, number>> {
  const numbers = new Map<string, number>();
  for (const scope of ["run", "session", "workflow", "global"] as const) {
    const channel: Channel = channelOf(run, scope);
    for (const { eventId, number } of await store.events.list(channel, 0, 10_000))
      numbers.set(`${scope} ${eventId}`, number);
  }
  return numbers;
}

/** Events are consumed once per run and in the order of their channel. */
function consumptionProblems(
  run: RunState,
  drafts: readonly AnyRecord[],
  numbers: ReadonlyMap<string, number>,
): string[] {
  const problems: string[] = [];
  const lastByName = new Map<string, number>();
  for (const { body, seq } of drafts) {
    const [cursor] = body.cursors ?? [];
    const [op] = (body.result ?? []) as { value?: { event_id?: string; name?: string } }[];
    if (cursor === undefined || op?.value?.event_id === undefined) continue;
    const place = `${cursor.scope} ${op.value.event_id}`;
    const number = numbers.get(place);
    if (number === undefined) problems.push(`${run.runId} took ${place}, which is not in the channel`);
    if (number !== cursor.number) problems.push(`${run.runId} noted ${cursor.number} for event ${number}`);
    if (cursor.number <= run.channels[cursor.scope]) problems.push(`${run.runId} took an event from before its start`);
    const name = `${cursor.scope} ${op.value.name} ${cursor.key ?? ""}`;
    const last = lastByName.get(name) ?? 0;
    if (cursor.number <= last) problems.push(`${run.runId} took ${place} after a later one, at ${seq}`);
    lastByName.set(name, cursor.number);
  }
  return problems;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Waits for something that itself waits for simulated time. */
async function settleIn(work: Promise<unknown>, pass: (ms: number) => Promise<void>): Promise<void> {
  let isSettled = false;
  const settled = (): void => {
    isSettled = true;
  };
  work.then(settled, settled);
  for (let round = 0; !isSettled && round < 1_000; round++) await pass(50);
  if (!isSettled) throw new Error("something waits for ever");
  await work;
}

/** Whether the run waits for a person. */
function isForPeople({ asks }: Wait): boolean {
  return asks === "question" || asks === "approval";
}

function reasonOf(error: unknown): unknown {
  return error instanceof Error && "reason" in error ? error.reason : error;
}

function describe(value: unknown): string {
  if (value instanceof Error) return value.stack ?? value.message;
  if (Array.isArray(value)) return value.map(describe).join(" ");
  if (value !== null && typeof value === "object") {
    return Object.entries(value)
      .map(([name, part]) => `${name}: ${describe(part)}`)
      .join(", ");
  }
  return String(value);
}
