/**
 * The engine: operations over one store. Authoritative is the database; what is here in memory (runs in hand, compiled
 * workflows, the next due time) can be lost at any moment. On a crash, batches are there whole or not at all, active runs are
 * claimed by another server or the next start, and timers, mail and events are found again by sweeps.
 */
import { randomUUID } from "node:crypto";
import type { Logger } from "pino";
import { DomainError } from "../core/errors.ts";
import type { Channel, EventQuery } from "../core/event.ts";
import { draftFromSealed } from "../core/ledger-format.ts";
import { compileWorkflow, workflowDigest } from "../core/workflow.ts";
import type { Surroundings } from "../store/contract/lanes.ts";
import type { Mail } from "../store/contract/mail.ts";
import type { RunKey } from "../store/contract/runs.ts";
import type { Store } from "../store/contract/store.ts";
import type { StoredWait } from "../store/contract/waits.ts";
import type { StoredWorkflow } from "../store/contract/workflows.ts";
import { rowTimeOf } from "../store/row-behind.ts";
import { createAdmission } from "./admission.ts";
import { type AdvanceQueue, advanceRun } from "./stimuli/advance-run.ts";
import type { Engine, WaitView, WorkflowView } from "./api.ts";
import { awaitRun } from "./operations/await-run.ts";
import { createBatcher } from "./batcher.ts";
import { createClock } from "./clock.ts";
import { type EngineContext, type EngineSettings, SETTINGS_DEFAULT, viewOf } from "./context.ts";
import { controlRun, tickRun } from "./operations/control-run.ts";
import { deliverMail } from "./stimuli/deliver-mail.ts";
import { emitEvent } from "./operations/emit-event.ts";
import { createTimers } from "./stimuli/fire-timers.ts";
import {
  pageLimit,
  pagePurpose,
  readPage,
  readPageStart,
  readPageToken,
  writePageStart,
  writePageToken,
} from "./lists.ts";
import { createNeighbours } from "./neighbours.ts";
import { createNoticeHub } from "./notice-hub.ts";
import { runUnknown } from "./transition/perform.ts";
import { resumeRun } from "./operations/resume-run.ts";
import { createRunTable } from "./run-table.ts";
import { createServerLease } from "./lanes/server-lease.ts";
import { startRun } from "./operations/start-run.ts";
import { createListenerWaker } from "./stimuli/wake-listeners.ts";
import { createWorkers } from "./workers/workers.ts";
import { listRecords, watchRun } from "./operations/watch-run.ts";
import { watchRuns } from "./operations/watch-runs.ts";
import { createWorkflowCache, versionUnknown, workflowUnknown } from "./workflow-cache.ts";

/** Runs claimed at once from servers that are gone. */
const CLAIM_MAX = 500;
/** Runs read at once: each may hold 2 MiB. */
const LOADS_MAX = 50;
/** Without payloads, but with the records that their rows do not have: up to 256 KiB each. */
const HEADS_MAX = 100;
const STRAYS_MAX = 200;
/** How long a stopping server waits for what it has in hand. */
const STOP_MS = 5_000;

export type RunningEngine = Engine & {
  /** Opens the server's lease and begins to work. @throws StoreUnavailableError */
  start(): Promise<void>;
  /** Finishes what is in hand and ends the lease, so that other servers go on at once. The store stays open. */
  stop(): Promise<void>;
};

export function createEngine(options: {
  store: Store;
  log: Logger;
  settings?: Partial<EngineSettings>;
  /** Epoch microseconds; replaced by tests. */
  wallMicros?: () => number;
}): RunningEngine {
  const { store, log } = options;
  const settings = { ...SETTINGS_DEFAULT, ...options.settings };
  const clock = createClock(options.wallMicros);
  const hub = createNoticeHub();
  const advancing: AdvanceQueue = new Set();
  let isStopping = false;
  let isAlone = true;
  let lastProgress = "";
  let strayTimer: NodeJS.Timeout | undefined;
  let pollTimer: NodeJS.Timeout | undefined;
  let claiming: Promise<void> | undefined;

  const lease = createServerLease({
    store,
    log,
    settings,
    onSurroundings,
    onNewLease: () => context.workers.onNewLease(),
  });
  const neighbours = createNeighbours({
    store,
    log,
    name: randomUUID(),
    hasOthers: lease.hasOthers,
    onRun: (key) => {
      hub.publish(key, undefined);
      hub.publishFeed();
    },
    onMail: (key) => context.deliverMail(key),
    onJobs: (queue) => context.workers.hearJobs(queue),
    onMore(hasJobs) {
      hub.publishToAll();
      if (hasJobs) workers.lookAgain();
    },
    onListening() {
      hub.publishToAll();
      workers.lookAgain();
    },
  });
  const context: EngineContext = {
    get workers() {
      return workers;
    },
    store,
    clock,
    log,
    settings,
    workflows: createWorkflowCache(store, log),
    hub,
    runs: createRunTable(),
    loadRun: createBatcher((keys: readonly RunKey[]) => store.runs.load(keys), LOADS_MAX),
    loadRunHead: createBatcher((keys: readonly RunKey[]) => store.runs.loadHeads(keys), HEADS_MAX),
    loadMail: createBatcher(async (keys: readonly RunKey[]) => {
      const all = await store.mail.list(keys);
      return keys.map((key): Mail[] =>
        all.filter((mail) => mail.tenantId === key.tenantId && mail.runId === key.runId),
      );
    }),
    lookUpEvent: createBatcher((queries: readonly EventQuery[]) => store.events.lookUp(queries)),
    readChannel: createBatcher((channels: readonly Channel[]) => store.events.readChannels(channels)),
    readWoken: createBatcher((channels: readonly Channel[]) => store.events.readWoken(channels)),
    laneOf: (key) => {
      if (isStopping)
        throw new DomainError("SHUTTING_DOWN", "The server is stopping; ask again.", { retryAfterMs: 500 });
      return lease.laneOf(key);
    },
    isOwnLane: lease.isOwnLane,
    admission: createAdmission(lease.pending, settings.pendingMax),
    pending: lease.pending,
    hasOthers: lease.hasOthers,
    formatMax: lease.formatMax,
    isStopping: () => isStopping,
    advance: (key) => advanceRun(context, advancing, key),
    deliverMail: (key) => void deliverMail(context, key),
    wakeListeners: (channel, eventId) => waker.wakeListeners(channel, eventId),
    wakeListenersSoon: (channel) => void waker.wakeListeners(channel),
    armTimer: (wakeTime) => timers.arm(wakeTime),
    tellOthers: neighbours.tell,
  };
  const waker = createListenerWaker(context);
  const timers = createTimers(context);
  const workers = createWorkers(context, lease.serverId);

  function onSurroundings(surroundings: Surroundings): void {
    clock.observe(surroundings.now);
    if (surroundings.nextWakeTime !== undefined) timers.arm(surroundings.nextWakeTime);
    workers.onSurroundings(surroundings);
    // Nobody was told of what happened since they came.
    if (isAlone && lease.hasOthers()) neighbours.tellToLook();
    isAlone = !lease.hasOthers();
    if (surroundings.hasOrphans && !isStopping) claiming ??= claimRuns().finally(() => (claiming = undefined));
  }

  /** Takes over the active runs of servers that are gone, this one's own earlier life included. */
  async function claimRuns(): Promise<void> {
    try {
      for (;;) {
        const lane = context.laneOf({ tenantId: "", runId: randomUUID() });
        const keys = await store.runs.claim(lane.lease.laneId, CLAIM_MAX);
        if (keys.length > 0) log.info({ runs: keys.length }, "going on with the runs of a server that is gone");
        for (const key of keys) context.advance(key);
        if (keys.length < CLAIM_MAX) return;
      }
    } catch (error) {
      if (!isExpected(error)) log.error({ err: error }, "claiming runs failed");
    }
  }

  /** Looks after mail and events that a crash, or a lost notice, left behind. */
  async function sweep(): Promise<void> {
    try {
      const { mailed, channels } = await store.mail.findStrays(settings.strayMs, STRAYS_MAX);
      await Promise.all([
        ...mailed.map((key) => deliverMail(context, key)),
        ...channels.map((channel) => waker.wakeListeners(channel)),
        workers.sweepStrays(),
      ]);
    } catch (error) {
      if (!isExpected(error)) log.error({ err: error }, "the sweep failed");
    }
    if (!isStopping) strayTimer = setTimeout(() => void sweep(), settings.strayMs);
  }

  /** Has watchers look for themselves if anything was committed anywhere: a notice of another server may be lost. */
  async function poll(): Promise<void> {
    // Without other servers everything is published in this process.
    if (lease.hasOthers() && hub.watchers > 0) {
      try {
        const lanes = await store.lanes.list(Number.MAX_SAFE_INTEGER);
        const progress = JSON.stringify(lanes.map(({ laneId, lastBatchNo }) => [laneId, lastBatchNo]));
        if (progress !== lastProgress) hub.publishToAll();
        lastProgress = progress;
      } catch (error) {
        if (!isExpected(error)) log.error({ err: error }, "looking for news of other servers failed");
      }
    }
    if (!isStopping) pollTimer = setTimeout(() => void poll(), settings.pollMs);
  }

  const operations: Engine = {
    async registerWorkflow(caller, definition) {
      compileWorkflow(definition);
      const digest = workflowDigest(definition);
      return workflowView(await store.workflows.register({ tenantId: caller.tenantId, digest, definition }));
    },
    async getWorkflow(caller, workflowId, version) {
      const stored = await store.workflows.get(caller.tenantId, workflowId, version);
      if (stored !== undefined) return workflowView(stored);
      const isKnown = version !== 0 && (await store.workflows.get(caller.tenantId, workflowId, 0)) !== undefined;
      throw isKnown ? versionUnknown(workflowId, version) : workflowUnknown(workflowId);
    },
    async listWorkflows(caller, request) {
      const { workflowId, includeArchived } = request;
      const purpose = pagePurpose("workflows", caller.tenantId, { workflowId, includeArchived });
      const list = { tenantId: caller.tenantId, includeArchived, ...(workflowId === undefined ? {} : { workflowId }) };
      const { entries, next } = await readPage({
        start: readPageToken(store, purpose, request) as string | number | undefined,
        limit: pageLimit(request.pageSize),
        read: (start, limit) => store.workflows.list({ ...list, limit, ...(start === undefined ? {} : { start }) }),
        startOf: (stored) => (workflowId === undefined ? stored.workflowId : stored.version),
        bytesOf: ({ definition }) => JSON.stringify(definition).length,
      });
      return { workflows: entries.map(workflowView), nextPageToken: writePageToken(store, purpose, next) };
    },
    async setCurrentVersion(caller, workflowId, version) {
      const stored = await store.workflows.setCurrentVersion(caller.tenantId, workflowId, version);
      if (stored !== undefined) return workflowView(stored);
      const isKnown = (await store.workflows.get(caller.tenantId, workflowId, 0)) !== undefined;
      throw isKnown ? versionUnknown(workflowId, version) : workflowUnknown(workflowId);
    },
    async setArchived(caller, workflowId, archived) {
      const stored = await store.workflows.setArchived(caller.tenantId, workflowId, archived);
      if (stored === undefined) throw workflowUnknown(workflowId);
      return workflowView(stored);
    },

    startRun: (caller, request) => startRun(context, caller, request),
    startRuns: (caller, requests) =>
      Promise.all(
        requests.map((request) =>
          startRun(context, caller, request).catch((error: unknown) => {
            if (error instanceof DomainError) return error;
            throw error;
          }),
        ),
      ),
    async getRun(caller, runId, view) {
      const key = { tenantId: caller.tenantId, runId };
      const run = await (view === "basic" ? context.loadRunHead(key) : context.loadRun(key));
      if (run === undefined) throw runUnknown(runId);
      return viewOf(context, run, view);
    },
    async listRuns(caller, request) {
      const { tenantId } = caller;
      const { filter, order, view } = request;
      const purpose = pagePurpose("runs", tenantId, { filter, order });
      const { entries, next } = await readPage({
        start: readPageStart(store, purpose, request),
        limit: pageLimit(request.pageSize),
        read: async (start, limit) => {
          const page = await store.runs.list({
            tenantId,
            filter,
            order,
            limit,
            ...(start === undefined ? {} : { start }),
          });
          // Both reads see a run or one of them does not: one that is deleted in between stays in its basic form.
          const full = view === "basic" ? [] : await store.runs.load(page.items.map(({ state }) => state));
          return page.items.map((listed, index) => ({ listed, run: full[index] ?? listed }));
        },
        // Where it was listed: it may have gone on since.
        startOf: ({ listed }) => ({
          time: order === "update_time_desc" ? rowTimeOf(listed) : listed.state.createTime,
          id: listed.state.runId,
        }),
        bytesOf: ({ run }) => JSON.stringify(run.state).length,
      });
      return {
        runs: entries.map(({ run }) => viewOf(context, run, view)),
        nextPageToken: writePageStart(store, purpose, next),
      };
    },
    awaitRun: (caller, request) => awaitRun(context, caller, request),
    async deleteRun(caller, runId) {
      const key = { tenantId: caller.tenantId, runId };
      if (await store.runs.delete(key)) return;
      if ((await context.loadRunHead(key)) === undefined) throw runUnknown(runId);
      throw new DomainError("RUN_NOT_ENDED", `Run ${runId} has not ended; cancel it first.`, {
        metadata: { run_id: runId },
      });
    },

    async listWaits(caller, request) {
      const { tenantId } = caller;
      const filter =
        request.filter.reasons.length > 0 ? request.filter : { ...request.filter, reasons: ["user" as const] };
      const purpose = pagePurpose("waits", tenantId, filter);
      const { entries, next } = await readPage({
        start: readPageStart(store, purpose, request),
        limit: pageLimit(request.pageSize),
        read: async (start, limit) =>
          (await store.waits.list({ tenantId, filter, limit, ...(start === undefined ? {} : { start }) })).items,
        startOf: ({ wait }) => ({ time: wait.create_time, id: wait.wait_id }),
        bytesOf: ({ wait }) => JSON.stringify(wait).length,
      });
      return { waits: entries.map(waitView), nextPageToken: writePageStart(store, purpose, next) };
    },
    async getWait(caller, waitId) {
      const wait = await store.waits.get(caller.tenantId, waitId);
      if (wait !== undefined) return waitView(wait);
      throw new DomainError("WAIT_UNKNOWN", `There is no wait ${waitId}.`, { metadata: { wait_id: waitId } });
    },
    resumeRun: (caller, request) => resumeRun(context, caller, request),
    emitEvent: (caller, request) => emitEvent(context, caller, request),

    cancelRun: (caller, request) => controlRun(context, caller, "cancel", request),
    pauseRun: (caller, request) => controlRun(context, caller, "pause", request),
    unpauseRun: (caller, request) => controlRun(context, caller, "unpause", request),
    tickRun: (caller, request) => tickRun(context, caller, request),

    async listStepRecords(caller, request) {
      const { runId, signal, waitMs } = request;
      const purpose = pagePurpose("step-records", caller.tenantId, { runId });
      const afterSeq = (readPageToken(store, purpose, request) as number | undefined) ?? request.afterSeq;
      const key = { tenantId: caller.tenantId, runId };
      const limit = pageLimit(request.pageSize);
      const { records, next } = await listRecords(context, key, { afterSeq, limit, waitMs, signal });
      return { records, nextPageToken: writePageToken(store, purpose, next) };
    },
    async getStepRecord(caller, runId, seq) {
      const key = { tenantId: caller.tenantId, runId };
      const [sealed] = await store.ledger.list(key, seq - 1, 1);
      if (sealed?.seq === seq) return { record: draftFromSealed(sealed), sealed };
      if ((await context.loadRunHead(key)) === undefined) throw runUnknown(runId);
      throw new DomainError("STEP_RECORD_UNKNOWN", `The ledger of run ${runId} has no record ${seq}.`, {
        metadata: { run_id: runId, seq: String(seq) },
      });
    },
    watchRun: (caller, request) => watchRun(context, caller, request),
    watchRuns: (caller, request) => watchRuns(context, caller, request),

    connectWorker: (caller, hello, link) => workers.connect(caller, hello, link),
    async listWorkers(caller, request) {
      const { tenantId } = caller;
      const { tool } = request;
      const purpose = pagePurpose("workers", tenantId, { tool });
      const { entries, next } = await readPage({
        start: readPageToken(store, purpose, request) as string | undefined,
        limit: pageLimit(request.pageSize),
        read: (start, limit) =>
          store.workers.list({
            tenantId,
            limit,
            ...(tool === undefined ? {} : { tool }),
            ...(start === undefined ? {} : { start }),
          }),
        startOf: ({ workerSessionId }) => workerSessionId,
        bytesOf: (worker) => JSON.stringify(worker).length,
      });
      return { workers: entries, nextPageToken: writePageToken(store, purpose, next) };
    },

    isServing: lease.isServing,
    onServingChange: lease.onServingChange,
  };

  return {
    ...operations,
    async start() {
      clock.observe(await store.now());
      await lease.start();
      neighbours.start();
      workers.start();
      strayTimer = setTimeout(() => void sweep(), 0);
      pollTimer = setTimeout(() => void poll(), settings.pollMs);
    },
    async stop() {
      isStopping = true;
      clearTimeout(strayTimer);
      clearTimeout(pollTimer);
      hub.publishToAll();
      await timers.stop();
      await workers.stop();
      await waker.stop();
      await Promise.race([context.runs.idle(), new Promise((resolve) => setTimeout(resolve, STOP_MS).unref())]);
      await neighbours.stop();
      await lease.stop();
    },
  };
}

function isExpected(error: unknown): boolean {
  return error instanceof DomainError && (error.reason === "SHUTTING_DOWN" || error.reason === "DATABASE_UNAVAILABLE");
}

function workflowView(stored: StoredWorkflow): WorkflowView {
  const { version, digest, definition, createTime, current, archived } = stored;
  return { version, digest, definition, createTime, current, archived };
}

function waitView(stored: StoredWait): WaitView {
  const { runId, wait, workflowId, sessionId, labels, closing } = stored;
  return {
    runId,
    wait,
    workflowId,
    labels,
    ...(sessionId === undefined ? {} : { sessionId }),
    ...(closing === undefined ? {} : { closeTime: closing.closeTime }),
    ...(closing?.actorId === undefined ? {} : { answeredBy: closing.actorId }),
  };
}
