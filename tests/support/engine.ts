/**
 * Servers for tests: engines over one database, Postgres or memory. A test can hold their store calls at any point, so
 * both orders of a race are forced without sleeps.
 */
import { reasonOf } from "../../server/src/core/wait.ts";
import { openWaitOf } from "../../server/src/core/run.ts";
import { randomBytes } from "node:crypto";
import { defined } from "../../server/src/core/defined.ts";
import { fold } from "../../server/src/core/fold/fold.ts";
import type { Json } from "../../server/src/core/json/json.ts";
import {
  draftFromSealed,
  NO_PREVIOUS_HASH,
  partDigest,
  recordHash,
  type SealedRecord,
} from "../../server/src/core/ledger-format.ts";
import type { WorkflowDefinition } from "../../server/src/core/graph/definition.ts";
import type { Caller, EmitRequest, RunView, StartRequest } from "../../server/src/engine/api.ts";
import { PERMISSIONS } from "../../server/src/engine/caller.ts";
import type { EngineSettings } from "../../server/src/engine/settings.ts";
import { createEngine, type RunningEngine } from "../../server/src/engine/engine.ts";
import type { Batch, Transition } from "../../server/src/store/contract/batch.ts";
import { LaneFencedError, StoreUnavailableError } from "../../server/src/store/contract/errors.ts";
import type { RunKey } from "../../server/src/store/contract/runs.ts";
import type { WaitClosing } from "../../server/src/store/contract/waits.ts";
import type { Nouns, Store, Verb } from "../../server/src/store/contract/store.ts";
import { mapVerbs } from "../../server/src/store/map-verbs.ts";
import { createMemoryDatabase, createMemoryStore } from "../../server/src/store/memory/store.ts";
import { createPostgresStore } from "../../server/src/store/postgres/store.ts";
import { createTestDatabase } from "./postgres.ts";

export const STORE_KINDS = ["memory", "postgres"] as const;
export type StoreKind = (typeof STORE_KINDS)[number];

/** How long a test waits for what must happen; reached only if it fails. */
const PATIENCE_MS = 60_000;

/** Sweeps repair what a lost notice breaks. Here they are off, so that what is lost stays lost and the test sees it. */
const NEVER_MS = 2 ** 30;

const SETTINGS: Partial<EngineSettings> = { strayMs: NEVER_MS, renewMs: 500, pollMs: 500 };

/** A database that servers share. */
export type SharedDatabase = {
  readonly kind: StoreKind;
  /** The URL of a Postgres; "" in memory. */
  readonly url: string;
  openStore(): Promise<Store>;
  close(): Promise<void>;
};

export async function openSharedDatabase(kind: StoreKind): Promise<SharedDatabase> {
  if (kind === "memory") {
    const memory = createMemoryDatabase({ now: () => Math.round((performance.timeOrigin + performance.now()) * 1000) });
    return { kind, url: "", openStore: () => createMemoryStore(memory), close: () => Promise.resolve() };
  }
  const database = await createTestDatabase();
  return {
    kind,
    url: database.url,
    openStore: () => createPostgresStore({ url: database.url, connections: 8 }),
    close: () => database.drop(),
  };
}

type Moment = "before" | "after";

/** A hold on one store call. */
export type Hold = {
  /** Resolves when a call has reached the hold. */
  readonly reached: Promise<void>;
  /** Lets the call go on; with an error, the call fails with it. */
  release(error?: Error): void;
};

type ArmedHold = { verb: Verb; moment: Moment; matches: (argument: unknown) => boolean; stop: () => Promise<void> };

/** A store whose calls can be held: before they take effect, or after it and before their caller hears of it. */
type GatedStore = {
  store: Store;
  hold<V extends Verb>(verb: V, moment: Moment, matches?: (argument: ArgumentOf<V>) => boolean): Hold;
  /** Releases everything that is held. */
  releaseAll(): void;
  /** From now on every call fails, including those under way: the server's process is gone, or cut off. */
  cut(): void;
};

type VerbOf<V extends Verb> = V extends `${infer N extends keyof Nouns}.${infer M}`
  ? Nouns[N][M & keyof Nouns[N]]
  : Store[V & keyof Store];
type ArgumentOf<V extends Verb> = VerbOf<V> extends (argument: infer A, ...rest: never[]) => unknown ? A : never;

function gateStore(inner: Store): GatedStore {
  const armed = new Set<ArmedHold>();
  const releases: (() => void)[] = [];
  let isCut = false;

  function assertNotCut(verb: Verb): void {
    if (!isCut) return;
    // A lane that has ended is not tried again, so the rest of the server comes to rest at once.
    throw verb === "batches.commit"
      ? new LaneFencedError("this server is cut off")
      : new StoreUnavailableError("this server is cut off");
  }

  async function pass(verb: Verb, moment: Moment, argument: unknown): Promise<void> {
    assertNotCut(verb);
    for (const hold of armed) {
      if (hold.verb !== verb || hold.moment !== moment || !hold.matches(argument)) continue;
      armed.delete(hold);
      await hold.stop();
      assertNotCut(verb);
      return;
    }
  }

  const gated = mapVerbs(inner, async (verb, perform, args) => {
    await pass(verb, "before", args[0]);
    const result = await perform();
    await pass(verb, "after", args[0]);
    return result;
  });
  const store: Store = { ...inner, ...gated };
  return {
    store,
    hold(verb, moment, matches = () => true) {
      const reached = Promise.withResolvers<void>();
      const released = Promise.withResolvers<void>();
      releases.push(released.resolve);
      // A release with an error before any call has arrived must not count as an unhandled rejection.
      released.promise.catch(() => undefined);
      armed.add({
        verb,
        moment,
        matches: matches as (argument: unknown) => boolean,
        stop: () => {
          reached.resolve();
          return released.promise;
        },
      });
      const timely = within(reached.promise, `no call reached the hold ${moment} ${verb}`);
      timely.catch(() => undefined);
      return {
        reached: timely,
        release: (error) => (error === undefined ? released.resolve() : released.reject(error)),
      };
    },
    releaseAll() {
      armed.clear();
      for (const release of releases.splice(0)) release();
    },
    cut() {
      isCut = true;
    },
  };
}

/** Resolves as `work` does; fails with `missing` if that takes too long. */
export async function within<T>(work: Promise<T>, missing: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(missing)), PATIENCE_MS);
  });
  // It is awaited later, or never if another assertion fails first.
  late.catch(() => undefined);
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

export type TestServer = {
  readonly engine: RunningEngine;
  /** The server's own store, with the same holds. */
  readonly store: Store;
  /** What the server logged as errors, that is bugs: a test that expects none fails on them. */
  readonly errors: unknown[];
  /** What it logged about its problems: when one began, and when it was over. */
  readonly news: { level: "warn" | "info"; problem: string; message: string; code?: string }[];
  hold: GatedStore["hold"];
  /** Releases every hold, so that what one test left does not stop the next. */
  releaseAll(): void;
  /** Ends the server as a process that is asked to stop. */
  stop(): Promise<void>;
  /** Ends the server as a process that is killed: nothing of it is committed from now on, and its lease stays open. */
  kill(): Promise<void>;
};

export async function startTestServer(
  database: SharedDatabase,
  settings: Partial<EngineSettings> = {},
  wrap: (store: Store) => Store = (store) => store,
): Promise<TestServer> {
  const inner = await database.openStore();
  const gate = gateStore(wrap(inner));
  const errors: unknown[] = [];
  const news: TestServer["news"] = [];
  const nothing = (): void => undefined;
  const noteNews = (level: "warn" | "info") => (fields: { problem?: string; code?: string }, message: string) => {
    const { problem, code } = fields;
    if (problem !== undefined) news.push({ level, problem, message, ...defined({ code }) });
  };
  const log = {
    trace: nothing,
    debug: nothing,
    info: noteNews("info"),
    warn: noteNews("warn"),
    error: (...said: unknown[]) => errors.push(said),
    fatal: (...said: unknown[]) => errors.push(said),
    isLevelEnabled: () => true,
  } as unknown as Parameters<typeof createEngine>[0]["log"];
  const engine = createEngine({ store: gate.store, log, settings: { ...SETTINGS, ...settings } });
  await engine.start();
  let ended: Promise<void> | undefined;
  const end = async (): Promise<void> => {
    await engine.stop();
    await inner.close();
  };
  return {
    engine,
    store: gate.store,
    errors,
    news,
    hold: gate.hold,
    releaseAll: gate.releaseAll,
    stop: () => (ended ??= end()),
    kill: () => {
      gate.cut();
      return (ended ??= end());
    },
  };
}

/** Ends every lease that is open now, like a server that has not heard of the others for too long. */
export async function endLeases(server: TestServer): Promise<void> {
  const serverId = freshId("observer");
  await server.store.lanes.open({ serverId, process: "test", lanes: 1 });
  const { others } = await server.store.lanes.renew(serverId);
  for (const other of others) await server.store.lanes.end(other.serverId);
  await server.store.lanes.end(serverId);
}

/** Matches a batch with a transition of this run, and of this kind. */
export function movesRun(runId: string, matches: (transition: Transition) => boolean = () => true) {
  return (batch: Batch): boolean =>
    transitionsOf(batch).some((transition) => transition.runId === runId && matches(transition));
}

/** Matches a transition that closes a wait in this way. */
export function closesBy(by: WaitClosing["by"]) {
  return ({ closeWaits }: Transition): boolean => closeWaits.some((closing) => closing.by === by);
}

/** Returns all transitions of a batch. */
export function transitionsOf({ items }: Batch): Transition[] {
  return items.flatMap((item) => (item.type === "group" ? item.transitions : []));
}

/** Matches a batch with this event from outside. */
export function deliversEvent(eventId: string) {
  return (batch: Batch): boolean =>
    batch.items.some(
      (item) => item.type === "delivery" && item.delivery.type === "event" && item.delivery.event.eventId === eventId,
    );
}

/** Matches a batch with mail for this run. */
export function deliversMail(runId: string) {
  return (batch: Batch): boolean =>
    batch.items.some(
      (item) => item.type === "delivery" && item.delivery.type === "mail" && item.delivery.runId === runId,
    );
}

let lastId = 0;

/** Returns an id that no other test of this process uses. */
export function freshId(prefix: string): string {
  lastId += 1;
  return `${prefix}-${lastId}-${randomBytes(3).toString("hex")}`;
}

/** Returns a caller whose tenant no other test uses. */
export function freshCaller(): Caller {
  return { tenantId: freshId("tenant"), may: PERMISSIONS };
}

export function startRequest(workflowId: string, facts: Partial<StartRequest> = {}): StartRequest {
  return { runId: freshId("run"), workflowId, version: 0, vars: {}, labels: {}, limits: {}, paused: false, ...facts };
}

export function emitRequest(name: string, facts: Partial<EmitRequest> = {}): EmitRequest {
  return { name, scope: "global", scopeId: "", key: "", payload: null, eventId: freshId("event"), ...facts };
}

/** Registers a graph and starts one run of it. */
export async function startRun(
  server: TestServer,
  caller: Caller,
  definition: WorkflowDefinition,
  facts: Partial<StartRequest> = {},
): Promise<RunView> {
  await server.engine.registerWorkflow(caller, definition);
  return await server.engine.startRun(caller, startRequest(definition.workflowId, facts));
}

/** Returns the run after it has ended; fails if it does not end. */
export async function untilEnded(server: TestServer, caller: Caller, runId: string): Promise<RunView> {
  // No run of these tests waits for this reason, so only an end is reached.
  return await untilReached(server, caller, runId, ["subworkflow"]);
}

/** Returns the run when it has reached a wait, or its end. */
export async function untilWaiting(server: TestServer, caller: Caller, runId: string): Promise<RunView> {
  return await untilReached(server, caller, runId, ["user", "event", "until"]);
}

type Reasons = Parameters<RunningEngine["awaitRun"]>[1]["reasons"];

async function untilReached(server: TestServer, caller: Caller, runId: string, reasons: Reasons): Promise<RunView> {
  const { signal } = new AbortController();
  const run = await server.engine.awaitRun(caller, { runId, reasons, timeoutMs: PATIENCE_MS, signal });
  const { status, node } = run.state;
  const wait = openWaitOf(run.state);
  const isThere = run.state.endTime !== undefined || (wait !== undefined && reasons.includes(reasonOf(wait)));
  if (!isThere) throw new Error(`run ${runId} stands still: ${status} at node ${node}`);
  return run;
}

/** Lets everything in this process that can go on do so. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Returns the reason of a refusal, or what was returned instead. */
export async function refusalOf(work: Promise<unknown>): Promise<unknown> {
  return await work.then(
    (value) => ({ value }),
    (error: unknown) => (error instanceof Error && "reason" in error ? error.reason : error),
  );
}

export function answer(
  server: TestServer,
  caller: Caller,
  run: RunView,
  value: Json,
  requestId?: string,
): Promise<RunView> {
  const { runId } = run.state;
  const wait = openWaitOf(run.state);
  return server.engine.resumeRun(caller, {
    runId,
    waitId: wait!.wait_id,
    payload: { answer: value },
    ...(requestId === undefined ? {} : { requestId }),
  });
}

/** Returns all records of a run. */
export async function readLedger(store: Store, key: RunKey): Promise<SealedRecord[]> {
  const records: SealedRecord[] = [];
  for (;;) {
    const page = await store.ledger.list(key, records.length, 1_000);
    records.push(...page);
    if (page.length < 1_000) return records;
  }
}

/**
 * Returns what is wrong with a run's ledger: gaps, broken links, wrong digests, or a fold that is not the run's state.
 * @param run the run, read before the records
 */
export async function ledgerProblems(store: Store, key: RunKey): Promise<string[]> {
  const [run] = await store.runs.load([key]);
  if (run === undefined) return ["the run does not exist"];
  const records = (await readLedger(store, key)).filter(({ seq }) => seq <= run.state.seq);
  const problems: string[] = [];
  let previous = NO_PREVIOUS_HASH;
  let time = "";
  for (const [index, record] of records.entries()) {
    const header = JSON.parse(record.header) as {
      seq: number;
      prev: string;
      time: string;
      parts: Record<string, string>;
    };
    const say = (problem: string) => problems.push(`record ${index + 1}: ${problem}`);
    if (record.seq !== index + 1 || header.seq !== index + 1) say(`has seq ${record.seq}`);
    if (header.prev !== previous) say("is not linked to the previous one");
    if (recordHash(record.header) !== record.hash) say("has another hash");
    const digests = record.parts.map(({ name, text, salt }) => [name, partDigest(salt, text)]);
    if (textOf(digests) !== textOf(Object.entries(header.parts))) say("has other parts");
    if (header.time < time) say("is earlier than the previous one");
    previous = record.hash;
    time = header.time;
  }
  if (records.length !== run.state.seq) problems.push(`${records.length} records, but seq ${run.state.seq}`);
  if (previous !== run.headHash) problems.push("the head hash is not that of the last record");
  const folded = textOf(fold(records.map(draftFromSealed)));
  const stored = textOf(run.state);
  if (folded !== stored) problems.push(`the fold is not the state: ${folded} is not ${stored}`);
  return problems;
}

/** JSON with sorted keys, for comparison. */
function textOf(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    part !== null && typeof part === "object" && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}
