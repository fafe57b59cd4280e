/** A worker: takes jobs from a server over one stream, runs them, and sends their results until they are acknowledged.
 *
 *  ```
 *  (made) ── start() ──> connecting <──> connected
 *                            └──── drain(), stop() ────> draining ── no jobs, no results ──> stopped
 *                            └──── the hello is refused ───────────────────────────────────> stopped, `closed` rejects
 *  ```
 *  Held jobs and unacknowledged results belong to the worker, not to a connection. A job's token authorises its result
 *  at any server, so a new connection continues where the previous one broke. */
import { Delivery } from "@abstractruntime/proto/effect_policy_pb";
import {
  type Job,
  type JobResult,
  type WorkerHello,
  WorkerHelloSchema,
  type WorkResponse,
} from "@abstractruntime/proto/worker_service_pb";
import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { v4 as uuidv4 } from "uuid";

import { readAddresses } from "./addresses.ts";
import { given } from "./given.ts";
import { type HeldJob, holdJob } from "./job-run.ts";
import { createKeptVars, type KeptVars } from "./kept-vars.ts";
import type { AbortCause, Tool } from "./tool.ts";
import { NO_LOG, STDERR_LOG, type WorkerLog } from "./worker-log.ts";
import { createOutbox, type Outbox } from "./worker-outbox.ts";
import { createResultStore } from "./worker-results.ts";
import { createWorkerServices, type CustomEffect, type Service, type WorkerServices } from "./worker-services.ts";
import { openWorkerStream, type StreamEnd, type WorkerStream } from "./worker-stream.ts";
import type { Workflow } from "./workflow.ts";

export type WorkerState = "connecting" | "connected" | "draining" | "stopped";

export type WorkerOptions = {
  /** The servers, such as `http://127.0.0.1:7400`; each new connection goes to the next one. Default: the environment
   *  variable ABSTRACTRUNTIME_URL (separated by commas), else `http://127.0.0.1:7400`. */
  server?: string | readonly string[];
  tools?: readonly Tool[];
  /** Workflows whose handlers are served. */
  workflows?: readonly Workflow[];
  /** Custom effects by their type. */
  custom?: Readonly<Record<string, CustomEffect>>;
  /** How many jobs the worker holds at once, 1 to 5,000. Default 100. */
  concurrency?: number;
  /** How many bytes of large members of vars (from about 2 KiB) the worker keeps in memory for later handlers of their
   *  runs, so that the server sends each member once. 0 to 1 GiB, default 64 MiB. With 0, the server sends every
   *  handler all vars of its run. */
  keptVarsBytes?: number;
  /** Who the worker says it is; recorded with its results. At most 128 letters, digits, `.`, `_` and `-`. */
  actorId?: string;
  /** A name for people, at most 256 characters. */
  name?: string;
  onStateChange?: (state: WorkerState) => void;
  /** Default: warnings and errors go to stderr. false: no log. */
  log?: WorkerLog | false;
  /** For tests and unusual networks. */
  timing?: Partial<WorkerTiming>;
};

export type WorkerTiming = {
  /** How long a server may take to welcome the worker, connecting included. */
  welcomeTimeoutMs: number;
  /** After how long without any frame the worker gives the connection up, if the server does not say. */
  silenceTimeoutMs: number;
  /** The longest pause before the first new connection; it doubles with each failure. The actual pause is random, up to
   *  that length. */
  backoffMs: number;
  /** The limit of the doubling. */
  backoffMsMax: number;
};

export type WorkerStats = {
  /** Accepted jobs that have not ended. */
  heldJobs: number;
  /** Results that the server has not acknowledged. */
  unackedResults: number;
  /** How many more jobs the server may offer now. */
  credit: number;
  /** Connections on which the worker was welcomed. */
  connections: number;
};

const DEFAULT_CONCURRENCY = 100;
/** A hello names at most 10,000 jobs: the running ones, and the same number of results. */
const CONCURRENCY_MAX = 5_000;
const HELD_MAX = 10_000;
/** Enough for 64 runs with as many vars as a run can have. */
const DEFAULT_KEPT_VARS_BYTES = 64 * 1024 * 1024;
/** By the contract. */
const KEPT_VARS_BYTES_MAX = 1024 * 1024 * 1024;
/** With more unacknowledged results than this, the worker asks a slow server for no more jobs. */
const RESULT_BYTES_MAX = 64 * 1024 * 1024;
/** After this time the event loop gets a turn before the next job begins. */
const TURN_MS = 10;
/** By the contract. */
const NAME_CHARS_MAX = 256;
/** Less than the 30 s that orchestrators usually allow. */
const DEFAULT_GRACE_MS = 25_000;
/** How long the server may take to end the stream after goodbye. */
const GOODBYE_MS = 2_000;
/** If a connection ends sooner than this, its server may be in trouble. */
const STABLE_MS = 5_000;
/** More doublings make no difference, whatever the first pause is. */
const DOUBLINGS_MAX = 16;
const DEFAULT_TIMING: WorkerTiming = {
  welcomeTimeoutMs: 10_000,
  silenceTimeoutMs: 30_000,
  backoffMs: 100,
  backoffMsMax: 5_000,
};

/** Reasons why the server ordinarily refuses a result: the run was cancelled or has ended, or the job went to another
 *  worker. */
const ORDINARY_REFUSALS: ReadonlySet<string> = new Set(["JOB_CANCELLED", "JOB_LEASE_LOST", "JOB_SETTLED"]);
/** A restart of a server, or a worker's way to another one, takes less. */
const LOST_TROUBLE_MS = 10_000;
/** So many connections in a row that ended soon after their welcome are no restart. */
const SHORT_LIVED_TROUBLE = 10;
/** A trouble that lasts is logged this often. */
const TOLD_AGAIN_MS = 60_000;

type Hold = { held: HeldJob; service: Service };
type Trouble = "connection" | "result" | "offer";
type Reconnection = { pauseMs: number; shortLived: number };

export class Worker {
  /** Resolves when the worker has stopped. Rejects if the server refuses the worker for good, because its hello breaks
   *  the protocol. */
  readonly closed: Promise<void>;

  readonly #options: WorkerOptions;
  readonly #addresses: readonly string[];
  readonly #services: WorkerServices;
  readonly #log: WorkerLog;
  readonly #timing: WorkerTiming;
  readonly #concurrency: number;
  readonly #keptVarsBytes: number;

  readonly #jobs = new Map<string, Hold>();
  readonly #results = createResultStore();
  /** The same on all connections, unless the server says that the session was replaced. */
  #sessionId = uuidv4();
  #stream: WorkerStream | undefined;
  /** What has to be sent on `stream`. */
  #outbox: Outbox | undefined;
  /** The large vars that `stream` has received. */
  #keptVars: KeptVars | undefined;
  #stateNow: WorkerState = "connecting";
  #connectedNow = false;
  #connections = 0;
  /** When the last connection was lost; -Infinity before the first, whose failure is news at once. */
  #lostAt = -Infinity;
  readonly #toldAt = new Map<Trouble, number>();
  #started = false;
  /** Whether the worker stops without waiting for its jobs. */
  #giveUp = false;
  readonly #firstWelcome = Promise.withResolvers<void>();
  readonly #closing = Promise.withResolvers<void>();
  /** Ends a pause between connections. */
  #endPause: (() => void) | undefined;
  /** Set after goodbye was queued; goodbye is the last frame of a worker. */
  #goodbyeTimer: NodeJS.Timeout | undefined;

  /** @throws {TypeError} if an option is outside its bounds, or two tools, workflows or custom effects have the same
   *  name */
  constructor(options: WorkerOptions = {}) {
    this.#options = options;
    this.#addresses = readAddresses(options.server);
    this.#services = createWorkerServices({
      tools: options.tools ?? [],
      workflows: options.workflows ?? [],
      custom: options.custom ?? {},
    });
    this.#log = options.log === false ? NO_LOG : (options.log ?? STDERR_LOG);
    this.#timing = { ...DEFAULT_TIMING, ...options.timing };
    this.#concurrency = readConcurrency(options.concurrency);
    const keptVarsBytes = readKeptVarsBytes(options.keptVarsBytes);
    // Only handlers receive vars.
    this.#keptVarsBytes = this.#services.hello.workflows.length === 0 ? 0 : keptVarsBytes;
    if ((options.name ?? "").length > NAME_CHARS_MAX) {
      throw new TypeError(`the name of a worker must have at most ${NAME_CHARS_MAX} characters`);
    }
    this.closed = this.#closing.promise;
    // A rejection that nobody handles must not end the process; the log reports it.
    this.closed.catch(() => {});
    this.#firstWelcome.promise.catch(() => {});
  }

  get state(): WorkerState {
    return this.#stateNow;
  }

  /** Whether the worker is connected and welcomed, draining or not. */
  get isConnected(): boolean {
    return this.#connectedNow;
  }

  stats(): WorkerStats {
    return {
      heldJobs: this.#jobs.size,
      unackedResults: this.#results.size,
      credit: this.#outbox?.credit ?? 0,
      connections: this.#connections,
    };
  }

  /** Connects, and stays connected until the worker stops. Resolves at the first welcome, however long that takes.
   *  @throws {ConnectError} if the server refuses the worker for good
   *  @throws {Error} if the worker is stopped before that */
  async start(): Promise<this> {
    if (this.#stateNow === "stopped") throw new Error("the worker has stopped");
    if (!this.#started) {
      this.#started = true;
      // An error here is a bug of this class; it must not end the process.
      this.#connectUntilStopped().catch((error: unknown) => this.#fail(error));
    }
    await this.#firstWelcome.promise;
    return this;
  }

  /** Takes no more jobs, finishes the held ones, and stops when their results are acknowledged, however long that
   *  takes. */
  async drain(): Promise<void> {
    this.#beginDraining();
    return this.closed;
  }

  /** Drains for at most `graceMs` (25 s). Then it gives up the remaining jobs and aborts their signals. */
  async stop({ graceMs = DEFAULT_GRACE_MS }: { graceMs?: number } = {}): Promise<void> {
    this.#beginDraining();
    const timer = setTimeout(() => this.#giveUpJobs(), graceMs);
    try {
      await this.closed;
    } finally {
      clearTimeout(timer);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Makes SIGTERM and SIGINT stop the worker, as `stop` does. A second signal ends the process at once. */
  handleSignals(options: { graceMs?: number } = {}): void {
    let isTold = false;
    const onSignal = (signal: NodeJS.Signals): void => {
      // 128 plus the signal's number, as in shells.
      if (isTold) process.exit(signal === "SIGINT" ? 130 : 143);
      isTold = true;
      this.#log.info({ signal }, "draining");
      this.stop(options).catch(() => {});
    };
    const signals = ["SIGTERM", "SIGINT"] as const;
    for (const signal of signals) process.on(signal, onSignal);
    const removeListeners = (): void => {
      for (const signal of signals) process.off(signal, onSignal);
    };
    this.closed.then(removeListeners, removeListeners);
  }

  // ── Connections ────────────────────────────────────────────────────────────────────────────────────────────────────

  async #connectUntilStopped(): Promise<void> {
    let unanswered = 0;
    let shortLived = 0;
    for (let index = 0; this.#stateNow !== "stopped"; index++) {
      const address = this.#addresses[index % this.#addresses.length]!;
      const openedAt = performance.now();
      const end = await this.#serveConnection(address);
      if (this.#endedForGood(end)) return;
      if (this.#stopIfIdle()) return;
      // A server keeps leases for a few seconds after a connection breaks, so the first new connection must come soon.
      if (end.welcomed) unanswered = 0;
      if (performance.now() - openedAt > STABLE_MS && end.welcomed) shortLived = 0;
      const failures = unanswered + shortLived;
      const movesOn = end.reason === "SHUTTING_DOWN" && failures === 0 && this.#addresses.length > 1;
      const pauseMs = movesOn ? 0 : this.#pauseMs(failures);
      if (end.welcomed) shortLived += 1;
      else unanswered += 1;
      this.#logEnd(address, end, { pauseMs, shortLived });
      await this.#pause(pauseMs);
    }
  }

  async #serveConnection(address: string): Promise<StreamEnd> {
    const outbox = createOutbox(this.#results, {
      concurrency: this.#concurrency,
      creditWanted: (credit) => this.#creditWanted(credit),
      onDue: () => {
        if (this.#outbox === outbox) this.#stream?.wake();
      },
    });
    const hello = this.#hello();
    // Sent again, because a frame that the connection took may not have arrived.
    for (const token of this.#jobs.keys()) outbox.accept(token);
    this.#results.sendAllAgain();
    if (this.#stateNow === "draining") outbox.drain();
    const stream = openWorkerStream({
      address,
      hello,
      outbox,
      welcomeTimeoutMs: this.#timing.welcomeTimeoutMs,
      silenceTimeoutMs: this.#timing.silenceTimeoutMs,
      onWelcome: ({ serverId }) => this.#onWelcome(address, serverId),
      onFrame: (frame) => this.#onFrame(frame),
      onSent: (frame) => {
        if (frame.case === "accept") this.#beginAccepted(frame.value.tokens).catch(() => {});
      },
    });
    this.#outbox = outbox;
    this.#keptVars = createKeptVars(this.#keptVarsBytes);
    this.#stream = stream;
    const end = await stream.ended;
    this.#outbox = undefined;
    this.#keptVars = undefined;
    this.#stream = undefined;
    this.#connectedNow = false;
    clearTimeout(this.#goodbyeTimer);
    if (end.reason === "WORKER_SESSION_REPLACED") this.#sessionId = uuidv4();
    if (this.#stateNow === "connected") this.#setState("connecting");
    return end;
  }

  #onWelcome(address: string, serverId: string): void {
    this.#connections += 1;
    this.#connectedNow = true;
    if (this.#lostAt !== -Infinity && performance.now() - this.#lostAt >= LOST_TROUBLE_MS) {
      this.#toldAt.delete("connection");
    }
    // The server repeats what changed while there was no connection; until then, a job counts as not paused.
    for (const { held } of this.#jobs.values()) held.setPaused(false);
    this.#log.info({ address, serverId, sessionId: this.#sessionId }, "connected");
    if (this.#stateNow === "connecting") this.#setState("connected");
    this.#firstWelcome.resolve();
    this.#sayGoodbyeIfIdle();
  }

  /** Whether no further connection follows. */
  #endedForGood(end: StreamEnd): boolean {
    if (this.#stateNow === "stopped") return true;
    const refused = end.reason === "REQUEST_INVALID" || end.error?.code === Code.InvalidArgument;
    if (!end.welcomed && refused && end.error !== undefined) {
      this.#log.error({ error: end.error.message }, "the server refuses this worker");
      this.#fail(end.error);
      return true;
    }
    return false;
  }

  /** Servers restart, and proxies cut streams: a lost connection is a trouble only if it is not back soon. A trouble is
   *  logged when it begins to be one, and once a minute while it lasts. */
  #logEnd(address: string, { welcomed, reason, error }: StreamEnd, { pauseMs, shortLived }: Reconnection): void {
    const fields = { address, ...given({ reason, error: error?.message }), retryMs: Math.round(pauseMs) };
    const now = performance.now();
    if (welcomed) this.#lostAt = now;
    const isMistake = welcomed && error?.code === Code.InvalidArgument;
    const isTrouble = welcomed ? shortLived >= SHORT_LIVED_TROUBLE : now - this.#lostAt >= LOST_TROUBLE_MS;
    const level = isMistake || (isTrouble && this.#isNews("connection", now)) ? "warn" : welcomed ? "info" : "debug";
    this.#log[level](fields, welcomed ? "disconnected" : "cannot connect");
  }

  /** Whether a trouble of this kind was not logged for a minute. */
  #isNews(trouble: Trouble, now = performance.now()): boolean {
    if (now - (this.#toldAt.get(trouble) ?? -Infinity) < TOLD_AGAIN_MS) return false;
    this.#toldAt.set(trouble, now);
    return true;
  }

  /** Returns the level of a refused result. Ordinary: the run was cancelled, or the job was taken back and is done by
   *  another worker. */
  #levelOfRefusal(reason: string): "debug" | "warn" {
    return ORDINARY_REFUSALS.has(reason) || !this.#isNews("result") ? "debug" : "warn";
  }

  /** Full jitter, so that workers that lost the same server do not come back together. It grows only after all
   *  addresses were tried. */
  #pauseMs(failures: number): number {
    const doublings = Math.min(Math.floor(failures / this.#addresses.length), DOUBLINGS_MAX);
    return Math.random() * Math.min(this.#timing.backoffMs * 2 ** doublings, this.#timing.backoffMsMax);
  }

  async #pause(delayMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, delayMs);
      this.#endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#endPause = undefined;
  }

  #hello(): WorkerHello {
    const { actorId = "", name = "" } = this.#options;
    const { tools, workflows, customTypes } = this.#services.hello;
    return create(WorkerHelloSchema, {
      tools,
      workflows,
      customTypes,
      workerSessionId: this.#sessionId,
      actorId,
      name,
      heldTokens: [...this.#jobs.keys(), ...this.#results.tokens()],
      keptVarsBytes: BigInt(this.#keptVarsBytes),
    });
  }

  /** How many more jobs the server may offer: the free places, but none if too many results are unacknowledged. Held
   *  jobs, credit and unacknowledged results together stay within what a hello may name. */
  #creditWanted(credit: number): number {
    if (this.#stateNow !== "connected" || this.#results.bytes > RESULT_BYTES_MAX) return 0;
    const taken = this.#jobs.size + credit;
    return Math.min(this.#concurrency - taken, HELD_MAX - taken - this.#results.size);
  }

  // ── Frames ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  #onFrame(frame: WorkResponse["frame"]): void {
    switch (frame.case) {
      case "offer":
        this.#outbox?.useCredit(frame.value.jobs.length);
        for (const job of frame.value.jobs) {
          this.#keptVars?.complete(job);
          this.#takeOffer(job);
        }
        break;
      case "start":
        for (const token of frame.value.tokens) this.#begin(token);
        break;
      case "resultAck":
        for (const { token, reason } of frame.value.acks) {
          if (reason !== "") this.#log[this.#levelOfRefusal(reason)]({ token, reason }, "a result was refused");
          this.#results.acknowledge(token);
        }
        this.#sayGoodbyeIfIdle();
        break;
      case "cancel":
        this.#abort(frame.value.tokens, "CANCELLED");
        break;
      case "leaseLost":
        this.#abort(frame.value.tokens, "LEASE_LOST");
        break;
      case "pause":
        for (const token of frame.value.tokens) this.#jobs.get(token)?.held.setPaused(frame.value.paused);
        break;
      case "ping":
        this.#outbox?.pong(frame.value.number);
        break;
      // A second welcome, or a frame of a newer server.
      case "welcome":
      case undefined:
        break;
    }
    this.#stream?.wake();
  }

  #takeOffer(job: Job): void {
    const known = this.#jobs.has(job.token);
    if (known) this.#outbox?.accept(job.token);
    // Ignored if its result is already on the way, and after goodbye.
    if (known || this.#results.has(job.token) || this.#goodbyeTimer !== undefined) return;
    const service = this.#services.find(job);
    if (service === undefined || job.token === "" || this.#jobs.size + this.#results.size >= HELD_MAX) {
      // A job that is not accepted goes to another worker.
      this.#log[this.#isNews("offer") ? "warn" : "debug"](
        { kind: job.kind, name: job.name },
        "ignoring an offered job that this worker does not serve or cannot hold",
      );
      return;
    }
    const held = holdJob(job, service.work, {
      onEnd: (ended, result) => this.#onJobEnd(ended, result),
      onHeartbeat: (token) => {
        this.#outbox?.heartbeat(token);
        this.#stream?.wake();
      },
    });
    this.#jobs.set(job.token, { held, service });
    this.#outbox?.accept(job.token);
  }

  /** Begins jobs whose accepts were sent. Not earlier, because code that blocks the event loop would also delay the
   *  accept, and a job that is not accepted within seconds goes to another worker. An AT_MOST_ONCE job waits for
   *  `start`: by then the server has recorded that it runs, so it is never run again silently. Never rejects. */
  async #beginAccepted(tokens: readonly string[]): Promise<void> {
    let turnEndsAt = performance.now() + TURN_MS;
    for (const token of tokens) {
      if (this.#jobs.get(token)?.held.job.delivery === Delivery.AT_MOST_ONCE) continue;
      this.#begin(token);
      if (performance.now() < turnEndsAt) continue;
      // Pings are answered here.
      await new Promise((resolve) => setImmediate(resolve));
      turnEndsAt = performance.now() + TURN_MS;
    }
  }

  #begin(token: string): void {
    const hold = this.#jobs.get(token);
    if (hold === undefined) return;
    if (hold.service.slots === undefined) hold.held.start();
    else hold.service.slots.begin(hold.held);
  }

  #abort(tokens: readonly string[], cause: Exclude<AbortCause, "TIMEOUT">): void {
    // A result that already exists stays; the server decides about it.
    for (const token of tokens) this.#jobs.get(token)?.held.abort(cause);
  }

  #onJobEnd(held: HeldJob, result: JobResult | undefined): void {
    const { token } = held.job;
    const hold = this.#jobs.get(token);
    this.#jobs.delete(token);
    if (result !== undefined) this.#results.add(result);
    hold?.service.slots?.end(held);
    this.#stream?.wake();
    this.#sayGoodbyeIfIdle();
  }

  // ── The end ────────────────────────────────────────────────────────────────────────────────────────────────────────

  #beginDraining(): void {
    if (this.#stateNow === "draining" || this.#stateNow === "stopped") return;
    this.#setState("draining");
    this.#outbox?.drain();
    this.#stream?.wake();
    if (!this.#started) this.#setStopped();
    else if (!this.#sayGoodbyeIfIdle()) this.#stopIfIdle();
  }

  #giveUpJobs(): void {
    this.#giveUp = true;
    for (const { held } of this.#jobs.values()) held.abort("SHUTDOWN");
    if (!this.#sayGoodbyeIfIdle()) this.#stopIfIdle();
  }

  get #isIdle(): boolean {
    return this.#giveUp || (this.#jobs.size === 0 && this.#results.size === 0);
  }

  /** Returns whether goodbye was queued. */
  #sayGoodbyeIfIdle(): boolean {
    if (this.#stateNow !== "draining" || !this.#isIdle || !this.#connectedNow) return false;
    this.#outbox?.goodbye();
    this.#stream?.wake();
    // The worker waits no longer than this, whatever the server does.
    this.#goodbyeTimer ??= setTimeout(() => this.#stream?.abandon(), GOODBYE_MS);
    return true;
  }

  /** Stops without a goodbye if there is no connection. Returns whether it did. */
  #stopIfIdle(): boolean {
    if (this.#stateNow !== "draining" || !this.#isIdle || this.#connectedNow) return false;
    this.#setStopped();
    return true;
  }

  #setStopped(): void {
    this.#setState("stopped");
    this.#stream?.abandon();
    this.#endPause?.();
    this.#firstWelcome.reject(new Error("the worker was stopped before it was connected"));
    this.#closing.resolve();
  }

  #fail(error: unknown): void {
    this.#firstWelcome.reject(error);
    this.#closing.reject(error);
    for (const { held } of this.#jobs.values()) held.abort("SHUTDOWN");
    this.#setStopped();
  }

  #setState(state: WorkerState): void {
    this.#stateNow = state;
    try {
      this.#options.onStateChange?.(state);
    } catch (error) {
      this.#log.error({ error: String(error) }, "onStateChange failed");
    }
  }
}

function readConcurrency(concurrency = DEFAULT_CONCURRENCY): number {
  if (Number.isInteger(concurrency) && concurrency >= 1 && concurrency <= CONCURRENCY_MAX) return concurrency;
  throw new TypeError(`the concurrency of a worker must be a whole number from 1 to ${CONCURRENCY_MAX}`);
}

function readKeptVarsBytes(bytes = DEFAULT_KEPT_VARS_BYTES): number {
  if (Number.isInteger(bytes) && bytes >= 0 && bytes <= KEPT_VARS_BYTES_MAX) return bytes;
  throw new TypeError(`keptVarsBytes must be a whole number from 0 to ${KEPT_VARS_BYTES_MAX}`);
}
