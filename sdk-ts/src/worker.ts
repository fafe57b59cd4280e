/** A worker: takes jobs from a server over one stream, runs them, and sends their results until they are acknowledged.
 *
 *  ```
 *  (made) ── start() ──> connecting <──> connected
 *                            └──── drain(), stop() ────> draining ── no jobs, no results ──> stopped
 *                            └──── the hello is refused ───────────────────────────────────> stopped, `closed` rejects
 *  ```
 *  The jobs that are held and the results without an acknowledgement belong to the worker; connections come and go. A job's
 *  token authorises its result at any server, so a new connection goes on where the one before broke off. */
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
  /** Servers, such as `http://127.0.0.1:7400`; each connection goes to the next one. Default: the environment variable
   *  ABSTRACTRUNTIME_URL (several are separated by commas), else `http://127.0.0.1:7400`. */
  server?: string | readonly string[];
  tools?: readonly Tool[];
  /** Workflows whose handlers are served. */
  workflows?: readonly Workflow[];
  /** Custom effects by their type. */
  custom?: Readonly<Record<string, CustomEffect>>;
  /** How many jobs are held at once, 1 to 5,000; default 100. */
  concurrency?: number;
  /** How many bytes of large members of vars, from about 2 KiB, are kept in memory for the next handlers of their runs, so that the
   *  server sends each once: 0 to 1 GiB; default 64 MiB. With 0, every handler is sent all vars of its run. */
  keptVarsBytes?: number;
  /** Who the worker is; recorded with its results, as claimed. Letters, digits, `.`, `_` and `-`, at most 128. */
  actorId?: string;
  /** The worker's own words for itself, at most 256 characters. */
  name?: string;
  onStateChange?: (state: WorkerState) => void;
  /** Default: warnings and errors to stderr. false: nothing. */
  log?: WorkerLog | false;
  /** For tests and unusual networks. */
  timing?: Partial<WorkerTiming>;
};

export type WorkerTiming = {
  /** How long a server may take to welcome the worker, connecting included. */
  welcomeTimeoutMs: number;
  /** After how long without any frame the connection is given up, if the server does not say. */
  silenceTimeoutMs: number;
  /** The pause before a new connection: between nothing and this, doubled with each failure. */
  backoffMs: number;
  /** The longest it becomes. */
  backoffMsMax: number;
};

export type WorkerStats = {
  /** Jobs that are accepted and have not ended. */
  heldJobs: number;
  /** Results that the server has not acknowledged. */
  unackedResults: number;
  /** How many more jobs the server may offer at the moment. */
  credit: number;
  /** Connections on which the worker was welcomed. */
  connections: number;
};

const DEFAULT_CONCURRENCY = 100;
/** A hello names at most 10,000 jobs: those that run, and as many results. */
const CONCURRENCY_MAX = 5_000;
const HELD_MAX = 10_000;
/** As much as 64 runs with the most vars that a run can have. */
const DEFAULT_KEPT_VARS_BYTES = 64 * 1024 * 1024;
/** By the contract. */
const KEPT_VARS_BYTES_MAX = 1024 * 1024 * 1024;
/** Results that a slow server has not taken: beyond this no more jobs are asked for. */
const RESULT_BYTES_MAX = 64 * 1024 * 1024;
/** After so long the event loop has its turn before the next job begins. */
const TURN_MS = 10;
/** By the contract. */
const NAME_CHARS_MAX = 256;
/** Below the 30 s that orchestrators usually give. */
const DEFAULT_GRACE_MS = 25_000;
/** How long the server may take to end the stream after goodbye. */
const GOODBYE_MS = 2_000;
/** A connection that ended sooner after its welcome is one of a server that may be in trouble. */
const STABLE_MS = 5_000;
/** Doublings of the pause that make a difference, whatever it begins with. */
const DOUBLINGS_MAX = 16;
const DEFAULT_TIMING: WorkerTiming = {
  welcomeTimeoutMs: 10_000,
  silenceTimeoutMs: 30_000,
  backoffMs: 100,
  backoffMsMax: 5_000,
};

type Hold = { held: HeldJob; service: Service };

export class Worker {
  /** Resolves when the worker has stopped; rejects if the server refuses it for good, because its hello breaks the protocol. */
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
  /** Kept over all connections. */
  #sessionId = uuidv4();
  #stream: WorkerStream | undefined;
  /** What is to be said on `stream`. */
  #outbox: Outbox | undefined;
  /** What `stream` has brought. */
  #keptVars: KeptVars | undefined;
  #stateNow: WorkerState = "connecting";
  #connectedNow = false;
  #connections = 0;
  #started = false;
  /** Jobs are not waited for any more. */
  #giveUp = false;
  readonly #firstWelcome = Promise.withResolvers<void>();
  readonly #closing = Promise.withResolvers<void>();
  /** Ends a pause between connections. */
  #endPause: (() => void) | undefined;
  /** Set once goodbye is on its way: the last thing that a worker says. */
  #goodbyeTimer: NodeJS.Timeout | undefined;

  /** @throws {TypeError} an option is outside its bounds, or two things have the same name */
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
    // Only handlers are given vars.
    this.#keptVarsBytes = this.#services.hello.workflows.length === 0 ? 0 : keptVarsBytes;
    if ((options.name ?? "").length > NAME_CHARS_MAX) {
      throw new TypeError(`a worker's name has at most ${NAME_CHARS_MAX} characters`);
    }
    this.closed = this.#closing.promise;
    // Who does not look at them is told by the log.
    this.closed.catch(() => {});
    this.#firstWelcome.promise.catch(() => {});
  }

  get state(): WorkerState {
    return this.#stateNow;
  }

  /** Whether a server has welcomed the worker and the connection holds, draining or not. */
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

  /** Connects, and stays connected for ever. Resolves at the first welcome, however long that takes.
   *  @throws {ConnectError} the server refuses the worker for good
   *  @throws {Error} the worker was stopped before */
  async start(): Promise<this> {
    if (this.#stateNow === "stopped") throw new Error("the worker has stopped");
    if (!this.#started) {
      this.#started = true;
      // What could fail here would be a mistake of this class; it must not end the process.
      this.#connectUntilStopped().catch((error: unknown) => this.#fail(error));
    }
    await this.#firstWelcome.promise;
    return this;
  }

  /** Takes no more jobs, finishes those that are held, and stops when their results are acknowledged, however long that takes. */
  async drain(): Promise<void> {
    this.#beginDraining();
    return this.closed;
  }

  /** Drains, for at most `graceMs` (25 s); then gives up the jobs that are left, aborting their signals. */
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

  /** Lets SIGTERM and SIGINT stop the worker, as `stop` does; a second signal ends the process at once. */
  handleSignals(options: { graceMs?: number } = {}): void {
    let isTold = false;
    const onSignal = (signal: NodeJS.Signals): void => {
      // 128 and the signal's number, as shells have it.
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

  // ── Connections ─────────────────────────────────────────────────────────────────────────────────────────────────────

  async #connectUntilStopped(): Promise<void> {
    let unanswered = 0;
    let shortLived = 0;
    for (let index = 0; this.#stateNow !== "stopped"; index++) {
      const address = this.#addresses[index % this.#addresses.length]!;
      const openedAt = performance.now();
      const end = await this.#serveConnection(address);
      if (this.#endedForGood(end)) return;
      if (this.#stopIfIdle()) return;
      // A server keeps leases for a few seconds after a connection broke: the first new one must come soon.
      if (end.welcomed) unanswered = 0;
      if (performance.now() - openedAt > STABLE_MS && end.welcomed) shortLived = 0;
      const failures = unanswered + shortLived;
      const movesOn = end.reason === "SHUTTING_DOWN" && failures === 0 && this.#addresses.length > 1;
      const pauseMs = movesOn ? 0 : this.#pauseMs(failures);
      if (end.welcomed) shortLived += 1;
      else unanswered += 1;
      this.#logEnd(address, end, pauseMs);
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
    // Said again, because a frame that was taken may not have arrived.
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
    // What changed while there was no connection is told anew; until then a job counts as going on.
    for (const { held } of this.#jobs.values()) held.setPaused(false);
    this.#log.info({ address, serverId, sessionId: this.#sessionId }, "connected");
    if (this.#stateNow === "connecting") this.#setState("connected");
    this.#firstWelcome.resolve();
    this.#sayGoodbyeIfIdle();
  }

  /** Whether no other connection follows. */
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

  #logEnd(address: string, { welcomed, reason, error }: StreamEnd, pauseMs: number): void {
    const fields = { address, ...given({ reason, error: error?.message }), retryMs: Math.round(pauseMs) };
    this.#log.warn(fields, welcomed ? "disconnected" : "cannot connect");
  }

  /** Full jitter: workers that lost the same server do not come back together. Longer only after all addresses were tried. */
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

  /** How many more jobs the server may offer: what is free, unless too many results wait to be acknowledged. Held jobs, owed
   *  credit and waiting results together stay below what a hello may name. */
  #creditWanted(credit: number): number {
    if (this.#stateNow !== "connected" || this.#results.bytes > RESULT_BYTES_MAX) return 0;
    const taken = this.#jobs.size + credit;
    return Math.min(this.#concurrency - taken, HELD_MAX - taken - this.#results.size);
  }

  // ── Frames ──────────────────────────────────────────────────────────────────────────────────────────────────────────

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
          if (reason !== "") this.#log.warn({ token, reason }, "a result was refused");
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
      // A second welcome, or what a newer server says.
      case "welcome":
      case undefined:
        break;
    }
    this.#stream?.wake();
  }

  #takeOffer(job: Job): void {
    const known = this.#jobs.has(job.token);
    if (known) this.#outbox?.accept(job.token);
    // Its result is on the way. After goodbye nothing is taken any more.
    if (known || this.#results.has(job.token) || this.#goodbyeTimer !== undefined) return;
    const service = this.#services.find(job);
    if (service === undefined || job.token === "" || this.#jobs.size + this.#results.size >= HELD_MAX) {
      // Not accepted, it goes to another worker.
      this.#log.warn({ kind: job.kind, name: job.name }, "an offered job is not served here");
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

  /** Begins jobs whose accept has left: code that holds up the event loop would hold up the accept as well, and a job that is not accepted
   *  within seconds goes to another worker. AT_MOST_ONCE waits for `start`: then the server has recorded that it runs, and it is
   *  never run again silently. Never rejects. */
  async #beginAccepted(tokens: readonly string[]): Promise<void> {
    let turnEndsAt = performance.now() + TURN_MS;
    for (const token of tokens) {
      if (this.#jobs.get(token)?.held.job.delivery === Delivery.AT_MOST_ONCE) continue;
      this.#begin(token);
      if (performance.now() < turnEndsAt) continue;
      // Pings are answered between the two.
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
    // A result that is already there stays: the server says what becomes of it.
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

  // ── The end ─────────────────────────────────────────────────────────────────────────────────────────────────────────

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

  /** Whether goodbye is on its way. */
  #sayGoodbyeIfIdle(): boolean {
    if (this.#stateNow !== "draining" || !this.#isIdle || !this.#connectedNow) return false;
    this.#outbox?.goodbye();
    this.#stream?.wake();
    // Whatever the server does, its answer is not waited for longer.
    this.#goodbyeTimer ??= setTimeout(() => this.#stream?.abandon(), GOODBYE_MS);
    return true;
  }

  /** Without a connection there is nobody to say goodbye to. */
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
  throw new TypeError(`a worker's concurrency is a whole number of 1 to ${CONCURRENCY_MAX}`);
}

function readKeptVarsBytes(bytes = DEFAULT_KEPT_VARS_BYTES): number {
  if (Number.isInteger(bytes) && bytes >= 0 && bytes <= KEPT_VARS_BYTES_MAX) return bytes;
  throw new TypeError(`the bytes of vars that a worker keeps are a whole number of 0 to ${KEPT_VARS_BYTES_MAX}`);
}
