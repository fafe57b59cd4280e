/**
 * The engine: operations over one store. The database is authoritative; what is in memory here (runs in hand, compiled
 * workflows, the next due time) can be lost at any moment.
 *
 * Where to change what:
 *   what an RPC does                             operations/, a file per RPC
 *   how a run is changed: load, decide, commit   transition/
 *   what follows a change of a run               a reaction (reactions.ts), and its place in the list below
 *   what moves runs without a request            stimuli/: their next step, time, mail, events
 *   what is cached of runs, what is retried      run-cache.ts, retry.ts
 *   commits and this server's lease              lanes/
 *   workers, their jobs and handlers             workers/
 *   what a crash leaves undone                   maintenance/
 *
 * After a crash every batch is committed whole or not at all. Active runs are claimed by another server or at the next
 * start (maintenance/claim-runs.ts); claims and sweeps find timers, mail, events and leases of jobs again.
 */
import { randomUUID } from "node:crypto";
import type { Logger } from "pino";
import type { Surroundings } from "../store/contract/lanes.ts";
import type { Store } from "../store/contract/store.ts";
import { createAdmission } from "./admission.ts";
import type { Engine } from "./api.ts";
import { type ClockSources, createClock } from "./clock.ts";
import { createHealth } from "./health.ts";
import { createServerLease } from "./lanes/server-lease.ts";
import { createMaintenance } from "./maintenance/maintenance.ts";
import { createNeighbours } from "./neighbours.ts";
import { createNoticeHub } from "./notice-hub.ts";
import { createOperations } from "./operations.ts";
import { createServing } from "./serving.ts";
import { publishNews } from "./publish-news.ts";
import type { Reaction } from "./reactions.ts";
import { createClockStepReporter } from "./report-clock-steps.ts";
import { createReads } from "./reads.ts";
import { createRunCache, retainWatched } from "./run-cache.ts";
import { createRunTable, runKeyText } from "./run-table.ts";
import { createRunViewer } from "./run-view.ts";
import { type EngineSettings, SETTINGS_DEFAULT } from "./settings.ts";
import { createAdvancer } from "./stimuli/advance-run.ts";
import { deliverMailSoon, readMailOfParked } from "./stimuli/deliver-mail.ts";
import { armTimers, createTimers } from "./stimuli/fire-timers.ts";
import { createListenerWaker } from "./stimuli/wake-listeners.ts";
import type { TransitionParts } from "./transition/perform.ts";
import { createHandlerRuns } from "./workers/handler-runs.ts";
import { createWorkers } from "./workers/workers.ts";
import { watchStore } from "./watch-store.ts";
import { createWorkflowCache } from "./workflow-cache.ts";

/** How long a write, such as a renewal of the lease, proves that the server can write. */
const WRITTEN_MS = 10_000;
/** How long a stopping server waits for the work that it has begun. */
const STOP_MS = 5_000;

export type RunningEngine = Engine & {
  /** Opens the server's lease and starts to work. @throws StoreUnavailableError */
  start(): Promise<void>;
  /**
   * Finishes the work that has begun and ends the lease, so that other servers take over at once. The store stays open.
   */
  stop(): Promise<void>;
};

export function createEngine(options: {
  store: Store;
  log: Logger;
  settings?: Partial<EngineSettings>;
  /** The clocks of this machine; tests replace them. */
  clocks?: ClockSources;
}): RunningEngine {
  const { log } = options;
  const settings = { ...SETTINGS_DEFAULT, ...options.settings };
  const health = createHealth(log);
  const watched = watchStore(options.store, health, {
    writtenMs: Math.max(WRITTEN_MS, 3 * settings.renewMs),
    quietMs: 3 * settings.renewMs,
  });
  const { store } = watched;
  const clockSteps = createClockStepReporter(health, log);
  const clock = createClock(options.clocks, clockSteps.report);
  const essentials = { store, clock, log, settings, health };
  let isStopped = false;
  const isStopping = () => isStopped;
  let isAlone = true;

  const hub = createNoticeHub();
  const reads = createReads(store, log);
  const cache = createRunCache();
  const runs = createRunTable(cache);

  // The parts that these callbacks use are created below; no callback runs before `start`.
  const lanes = createServerLease({
    store,
    log,
    settings,
    health,
    isStopping,
    clock,
    onSurroundings,
    onNewLease: () => workers.onNewLease(),
  });
  const neighbours = createNeighbours({
    store,
    log,
    health,
    name: randomUUID(),
    hasOthers: lanes.hasOthers,
    onRun(key) {
      cache.forget(runKeyText(key));
      hub.publish(key, undefined);
      hub.publishFeed();
    },
    onMail: (key) => deliverMailSoon(transitions, key),
    onJobs: (queue) => workers.hearJobs(queue),
    onMore(hasJobs) {
      hub.publishToAll();
      if (hasJobs) workers.recheckQueues();
    },
    onListening() {
      hub.publishToAll();
      workers.recheckQueues();
    },
  });
  const handlerRuns = createHandlerRuns({
    interests: cache,
    onBegin: (handlerRun) => workers.dispatchHandler(handlerRun),
    onDone: (key) => advancer.advance(key),
    onDropped: (handlerRun) => workers.dropHandler(handlerRun),
  });
  const workflows = createWorkflowCache(store, log);
  const reactions: Reaction[] = [];
  const transitions: TransitionParts = {
    clock,
    log,
    reads,
    workflows,
    lanes,
    runs,
    cache,
    handlers: handlerRuns,
    reactions,
  };
  const advancer = createAdvancer(transitions, { isStopping, onGone: (key) => handlerRuns.abandon(key, 0) });
  const listeners = createListenerWaker(essentials, transitions);
  const timers = createTimers(essentials, transitions);
  const { loadRun, loadRunHead } = reads;
  const workers = createWorkers({
    context: {
      ...essentials,
      loadRun,
      loadRunHead,
      hub: retainWatched(hub, cache),
      tellOthers: neighbours.tell,
      isStopping,
    },
    transitions,
    lanes,
    handlerRuns,
    serverId: lanes.serverId,
  });
  reactions.push(
    // First: a worker's jobs must watch their run before the hub announces this commit.
    workers.reaction,
    publishNews(hub),
    neighbours.reaction,
    listeners.reaction,
    armTimers(timers),
    // Last, because these begin the run's next transition: everyone else has heard of this one.
    readMailOfParked(transitions),
    advancer.reaction,
  );

  const maintenance = createMaintenance({
    ...essentials,
    lanes,
    hub,
    transitions,
    listeners,
    workers,
    advance: advancer.advance,
  });

  function onSurroundings(surroundings: Surroundings): void {
    watched.recheck();
    timers.adjust(surroundings.nextWakeTime);
    workers.onSurroundings(surroundings);
    // While this server was alone it announced nothing, so the others may have missed news.
    if (isAlone && lanes.hasOthers()) neighbours.tellToLook();
    isAlone = !lanes.hasOthers();
    if (surroundings.hasOrphans && !isStopping()) maintenance.claimRuns();
  }

  return {
    ...createOperations({
      ...essentials,
      lanes,
      reads,
      hub,
      neighbours,
      transitions,
      listeners,
      workers,
      isStopping,
      isDatabaseSilent: watched.isSilent,
      admission: createAdmission(lanes.pending, settings.pendingMax),
      viewOf: createRunViewer(workers.blockedReason),
      serving: createServing({ lanes, health, hasWritten: watched.hasWritten }),
    }),
    async start() {
      await clock.reading(async () => ({ now: await store.now() }));
      await lanes.start();
      neighbours.start();
      workers.start();
      maintenance.start();
    },
    async stop() {
      isStopped = true;
      clockSteps.stop();
      maintenance.stop();
      hub.publishToAll();
      await timers.stop();
      await workers.stop();
      await listeners.stop();
      await Promise.race([runs.idle(), new Promise((resolve) => setTimeout(resolve, STOP_MS).unref())]);
      await neighbours.stop();
      await lanes.stop();
    },
  };
}
