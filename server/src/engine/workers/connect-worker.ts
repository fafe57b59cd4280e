/**
 * A worker's stream: hello, frames, end. A stream that breaks leaves its session behind for a while, so that a worker which comes
 * back with the same session id, here or at another server, goes on with the jobs that it has.
 */
import { createHash } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import { epochMicrosOf } from "../../core/duration.ts";
import { DomainError, type FieldProblem } from "../../core/errors.ts";
import { JSON_BYTES_MAX, parseJson } from "../../core/json.ts";
import { compileSchema } from "../../core/json-schema.ts";
import type { CallEnd } from "../../core/settle-calls.ts";
import type { JobHead } from "../../store/contract/jobs.ts";
import type {
  Caller,
  JobResult,
  JobResultAck,
  ServerFrame,
  WorkerConnection,
  WorkerFrame,
  WorkerLink,
} from "../api.ts";
import type { Dispatcher } from "./dispatch.ts";
import type { HandlerRuns } from "./handler-runs.ts";
import { queueText } from "./job-queue.ts";
import { isHandlerToken, readJobToken } from "./job-token.ts";
import { createKeptVars } from "./kept-vars.ts";
import { type LeaseKeeper, leaseToEnd } from "./leases.ts";
import { leaseToken, sessionText, type WorkerPool } from "./pool.ts";
import {
  CREDIT_MAX,
  deliveryBy,
  type HeldJob,
  joinQueue,
  servedQueues,
  type Session,
  type SessionHello as WorkerHello,
} from "./session.ts";
import type { JobSettler } from "./settle-jobs.ts";

/** Schemas of a hello that are compiled without a pause: one takes a millisecond or more. */
const SCHEMAS_PER_TURN = 5;
/** How long a lease that nobody here knows of is left alone: longer than any statement about it takes. */
const SETTLING_MS = 20_000;
/** Failures are kept in the ledger and shown to people: what is longer is cut. */
const CODE_LENGTH_MAX = 128;
const MESSAGE_LENGTH_MAX = 16 * 1024;

export type WorkerParts = {
  pool: WorkerPool;
  leases: LeaseKeeper;
  dispatcher: Dispatcher;
  handlerRuns: HandlerRuns;
  settler: JobSettler;
  serverId: () => string;
};

/** @throws {DomainError} REQUEST_INVALID with the path of everything that is wrong with the hello */
export async function connectWorker(
  parts: WorkerParts,
  caller: Caller,
  hello: WorkerHello,
  wire: WorkerLink,
): Promise<WorkerConnection> {
  const { pool, dispatcher, leases } = parts;
  const { context } = pool;
  await checkHello(hello);
  const { tenantId } = caller;
  const text = sessionText(tenantId, hello.workerSessionId);
  const link = openLink(wire);
  const session = openSession(pool, tenantId, hello, link);
  // Its word that it has them; until it was here it could not give it.
  leases.heartbeat(
    session,
    hello.heldTokens.filter((token) => session.held.has(token)),
  );
  let isClosed = false;

  const connection: WorkerConnection = {
    receive(frame) {
      if (isClosed || session.link !== link) return;
      session.heardAt = pool.nowMs();
      receive(parts, session, frame);
      if (session.isQuiet) {
        session.isQuiet = false;
        dispatcher.noteSession(session);
      }
      if (link.hasRoomAgain()) dispatcher.pump();
    },
    close() {
      if (isClosed) return;
      isClosed = true;
      if (session.link === link) leaveSession(parts, session, context.settings.reconnectMs);
    },
  };
  try {
    await saveWorker(parts, session);
    await adoptLeases(parts, session, new Set(hello.heldTokens));
  } catch (error) {
    connection.close();
    throw error;
  }
  if (pool.sessions.get(text) !== session || session.link !== link) throw sessionReplaced(hello.workerSessionId);
  const { pingMs, silenceMs, acceptMs } = context.settings;
  link.welcome({ type: "welcome", serverId: parts.serverId(), pingMs, silenceMs, acceptMs });
  // It has accepted them, whether or not its frame arrived; and what it lost meanwhile it is told.
  leases.accept(session, hello.heldTokens);
  leases.lookAtAll(session);
  dispatcher.noteSession(session);
  return connection;
}

type SessionLink = WorkerLink & {
  welcome(frame: ServerFrame): void;
  /** Whether the link was full, and is not any more; asked with every frame that comes: who sends one has read something. */
  hasRoomAgain(): boolean;
};

/** A link whose first frame is the welcome: what is said while the session is being set up follows it. */
function openLink(wire: WorkerLink): SessionLink {
  const early: ServerFrame[] = [];
  let isWelcome = false;
  let wasFull = false;
  const isFull = (): boolean => wire.isFull?.() === true;
  return {
    send(frame) {
      if (!isWelcome) {
        early.push(frame);
        return;
      }
      wire.send(frame);
      wasFull ||= isFull();
    },
    end: (reason) => wire.end(reason),
    isFull,
    welcome(frame) {
      isWelcome = true;
      for (const each of [frame, ...early.splice(0)]) wire.send(each);
    },
    hasRoomAgain() {
      if (!wasFull || isFull()) return false;
      wasFull = false;
      return true;
    },
  };
}

function openSession(pool: WorkerPool, tenantId: string, hello: WorkerHello, link: WorkerLink): Session {
  const text = sessionText(tenantId, hello.workerSessionId);
  const known = pool.sessions.get(text);
  known?.link?.end(sessionReplaced(hello.workerSessionId));
  const nowMs = pool.nowMs();
  const { keptVarsBytes = 0 } = hello;
  const fresh = {
    hello,
    serves: servedQueues(tenantId, hello),
    link,
    keptVars: keptVarsBytes === 0 ? undefined : createKeptVars(keptVarsBytes),
    credit: 0,
    isDraining: false,
    isQuiet: false,
    heardAt: nowMs,
    pingedAt: nowMs,
    pingNo: 0,
    lostAt: Number.POSITIVE_INFINITY,
  };
  if (known !== undefined) return Object.assign(known, fresh);
  const { workerSessionId } = hello;
  const session: Session = { tenantId, workerSessionId, held: new Map(), inFlight: new Map(), ...fresh };
  pool.sessions.set(text, session);
  return session;
}

function sessionReplaced(workerSessionId: string): DomainError {
  const message = `Another stream has said hello as ${workerSessionId}.`;
  return new DomainError("WORKER_SESSION_REPLACED", message, { metadata: { worker_session_id: workerSessionId } });
}

/** The stream of a session is gone; its worker has `graceMs` to come back. */
export function leaveSession(parts: WorkerParts, session: Session, graceMs: number): void {
  delete session.link;
  session.keptVars = undefined;
  session.credit = 0;
  session.lostAt = parts.pool.nowMs() + graceMs;
  if (graceMs <= 0) endSession(parts, session);
}

/** The worker of a session is gone: its jobs are given to others. */
export function endSession(parts: WorkerParts, session: Session): void {
  const { pool, leases, serverId } = parts;
  const { tenantId, workerSessionId } = session;
  const text = sessionText(tenantId, workerSessionId);
  if (pool.sessions.get(text) === session) pool.sessions.delete(text);
  leases.loseAll(session);
  const worker = { tenantId, workerSessionId, serverId: serverId() };
  changeList(pool, session, () => pool.context.store.workers.remove(worker)).catch((error: unknown) => {
    if (!(error instanceof DomainError)) pool.context.log.error({ err: error }, "taking a worker off the list failed");
  });
}

/**
 * Takes over what the session has, from wherever it was connected before. What the worker does not know of goes to others at once:
 * it never came to it, or its process was started again.
 */
export async function adoptLeases(
  parts: WorkerParts,
  session: Session,
  heldTokens: ReadonlySet<string> | undefined,
): Promise<void> {
  const { pool, leases, serverId } = parts;
  const { tenantId, workerSessionId } = session;
  // As many as a worker may have.
  const request = { tenantId, workerSessionId, serverId: serverId(), limit: CREDIT_MAX };
  const heads = await pool.context.store.jobs.adopt(request);
  const youngestMicros = pool.context.clock.nowMicros() - SETTLING_MS * 1_000;
  const unknown = heads.filter((head) => {
    const token = tokenOfHead(pool, session, head);
    if (session.held.has(token)) {
      // It stays if the worker says that it has it, or was not asked.
      return heldTokens !== undefined && !heldTokens.has(token);
    }
    if (heldTokens?.has(token) === true) {
      holdAdopted(pool, leases, session, { head, token });
      return false;
    }
    // Its result decides what becomes of it, whether or not its worker still knows of it.
    if (pool.settling.has(token)) return false;
    if (heldTokens !== undefined) return true;
    // What was leased a moment ago is in other hands here; it is looked at again later.
    const isOld = head.leaseTime !== undefined && epochMicrosOf(head.leaseTime) < youngestMicros;
    pool.isDoubtful ||= !isOld;
    return isOld;
  });
  for (const head of unknown) leases.take(tokenOfHead(pool, session, head));
  leases.release(unknown.map((head) => leaseToEnd(head, false)));
  // Handlers without a job row that the worker does not know of are in no lease.
  for (const job of session.held.values()) {
    if (job.handlerRun === undefined || heldTokens === undefined || heldTokens.has(job.token)) continue;
    leases.giveBack(session, job);
  }
}

function tokenOfHead(pool: WorkerPool, session: Session, head: JobHead): string {
  return leaseToken(pool, head, deliveryBy(session, head) === "at_most_once");
}

function holdAdopted(
  { context }: WorkerPool,
  leases: LeaseKeeper,
  session: Session,
  { head, token }: { head: JobHead; token: string },
): void {
  const { tenantId, runId, idempotencyKey, leaseNo, attempt, timeoutMs, heartbeatTimeoutMs, state, leaseTime } = head;
  const queue = queueText(head);
  joinQueue(session, queue);
  leases.hold(session, {
    token,
    run: { tenantId, runId },
    queue,
    idempotencyKey,
    attempt,
    isAtMostOnce: deliveryBy(session, head) === "at_most_once",
    lease: { tenantId, idempotencyKey, leaseNo },
    timeoutMs,
    ...(heartbeatTimeoutMs === undefined ? {} : { heartbeatTimeoutMs }),
    state: state === "running" ? "running" : "accepted",
    ...(leaseTime === undefined ? {} : { elapsedMs: (context.clock.nowMicros() - epochMicrosOf(leaseTime)) / 1_000 }),
  });
}

function receive(parts: WorkerParts, session: Session, frame: WorkerFrame): void {
  const { leases, dispatcher } = parts;
  switch (frame.type) {
    case "credit":
      session.credit = Math.min(session.credit + frame.jobs, CREDIT_MAX - session.held.size);
      dispatcher.pump();
      break;
    case "accept":
      leases.accept(session, frame.tokens);
      break;
    case "heartbeat":
      leases.heartbeat(session, frame.tokens);
      break;
    case "result":
      for (const result of frame.results) takeResult(parts, session, result);
      break;
    case "drain":
      drain(parts, session);
      break;
    case "goodbye": {
      const { link } = session;
      leaveSession(parts, session, 0);
      link?.end();
      break;
    }
    case "pong":
      break;
  }
}

function drain(parts: WorkerParts, session: Session): void {
  session.isDraining = true;
  saveWorker(parts, session).catch((error: unknown) => {
    if (!(error instanceof DomainError)) parts.pool.context.log.error({ err: error }, "noting a drain failed");
  });
}

/** Puts the worker on the list of those that are connected, or notes that it drains. */
async function saveWorker({ pool, serverId }: WorkerParts, session: Session): Promise<void> {
  const { tenantId, workerSessionId, hello, isDraining } = session;
  const { tools, workflows, customTypes, name, actorId } = hello;
  const worker = {
    tenantId,
    workerSessionId,
    serverId: serverId(),
    name,
    tools,
    workflows,
    customTypes,
    draining: isDraining,
    ...(actorId === undefined ? {} : { actorId }),
  };
  await changeList(pool, session, () => pool.context.store.workers.save(worker));
}

/** Changes the list of workers after every change before that is about the same session: no goodbye is overtaken by what came before it. */
async function changeList(
  { listChanges }: WorkerPool,
  { tenantId, workerSessionId }: Session,
  change: () => Promise<void>,
): Promise<void> {
  const text = sessionText(tenantId, workerSessionId);
  const changed = (listChanges.get(text) ?? Promise.resolve()).then(change);
  const settled = changed.catch(() => undefined);
  listChanges.set(text, settled);
  try {
    await changed;
  } finally {
    if (listChanges.get(text) === settled) listChanges.delete(text);
  }
}

/** Takes a result by its token, whoever brings it; the acknowledgement follows the commit. */
function takeResult({ pool, leases, handlerRuns, settler }: WorkerParts, session: Session, result: JobResult): void {
  const { context } = pool;
  const acknowledge = (ack: Omit<JobResultAck, "token">): void => {
    session.link?.send({ type: "result_ack", acks: [{ token: result.token, ...ack }] });
  };
  const { actorId } = session.hello;
  const actor = actorId === undefined ? {} : { actorId };
  if (isHandlerToken(result.token)) {
    const held = pool.held.get(result.token);
    // Another tenant's is as unknown as one that is gone.
    if (held?.session.tenantId !== session.tenantId || leases.take(result.token) === undefined) {
      acknowledge({ status: "refused", reason: "JOB_LEASE_LOST" });
    } else finishHandler(handlerRuns, held.job, { outcome: readOutcome(result), actor, acknowledge });
    return;
  }
  const token = readJobToken(context.store.tokenKey, session.tenantId, result.token);
  if (token === undefined) {
    acknowledge({ status: "refused", reason: "JOB_UNKNOWN" });
    return;
  }
  const { tenantId, runId, idempotencyKey, attempt, leaseNo, isAtMostOnce } = token;
  const run = leases.runOf({ tenantId, runId });
  leases.take(result.token);
  pool.settling.add(result.token);
  const outcome = readOutcome(result);
  const end: CallEnd = { idempotencyKey, attempt, isAtMostOnce, outcome, random: Math.random(), ...actor };
  settler.settle(
    { tenantId, runId },
    {
      end,
      leaseNo,
      run,
      digest: digestOf(result),
      onSettled(settled) {
        pool.settling.delete(result.token);
        acknowledge(settled);
        if (settled.status !== "refused") return;
        const { reason } = settled;
        const output = JSON.stringify(result.outcome);
        context.store.jobs
          .noteRefusedResult({ tenantId, idempotencyKey }, { reason, output })
          .catch((error: unknown) => {
            if (!(error instanceof DomainError)) context.log.error({ err: error }, "noting a refused result failed");
          });
      },
    },
  );
}

function finishHandler(
  handlerRuns: HandlerRuns,
  { handlerRun }: HeldJob,
  facts: {
    outcome: CallEnd["outcome"];
    actor: { actorId?: string };
    acknowledge: (ack: Omit<JobResultAck, "token">) => void;
  },
): void {
  const { outcome, actor, acknowledge } = facts;
  handlerRun!.onTaken = (counts) =>
    acknowledge(counts ? { status: "accepted" } : { status: "refused", reason: "JOB_CANCELLED" });
  handlerRuns.finish(
    handlerRun!,
    "output" in outcome
      ? { type: "plan", output: outcome.output, ...actor }
      : { type: "failed", failure: outcome.failure, random: Math.random(), ...actor },
  );
}

/** A result as core takes it: what is no payload fails the attempt, so that the run is not stranded with it. */
function readOutcome({ outcome }: JobResult): CallEnd["outcome"] {
  if ("failure" in outcome) {
    const { code, message, ...rest } = outcome.failure;
    return {
      failure: {
        ...rest,
        code: code === "" ? "TOOL_FAILED" : cut(code, CODE_LENGTH_MAX),
        message: cut(message, MESSAGE_LENGTH_MAX),
      },
    };
  }
  try {
    return { output: outcome.output === "" ? null : parseJson(outcome.output, { bytesMax: JSON_BYTES_MAX }) };
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    return {
      failure: { code: "RESULT_INVALID", message: `The result is no payload: ${error.message}`, nonRetryable: true },
    };
  }
}

/** No half of a character is left at the end: it could not be stored. */
function cut(text: string, lengthMax: number): string {
  return text.length <= lengthMax ? text : text.slice(0, lengthMax).replace(/[\uD800-\uDBFF]$/, "");
}

/** Knows a result again that is sent twice. */
function digestOf({ outcome }: JobResult): string {
  return createHash("sha256").update(JSON.stringify(outcome)).digest("hex");
}

async function checkHello(hello: WorkerHello): Promise<void> {
  const problems: FieldProblem[] = [];
  checkUnique(
    "tools",
    "name",
    hello.tools.map(({ name }) => name),
    problems,
  );
  checkUnique(
    "workflows",
    "workflowId",
    hello.workflows.map(({ workflowId }) => workflowId),
    problems,
  );
  checkUnique(
    "customTypes",
    "type",
    hello.customTypes.map(({ type }) => type),
    problems,
  );
  for (const [index, { inputSchema }] of hello.tools.entries()) {
    if (inputSchema === "") continue;
    if (index % SCHEMAS_PER_TURN === 0) await turn();
    try {
      compileSchema(parseJson(inputSchema));
    } catch (error) {
      problems.push({ path: `hello.tools[${index}].inputSchema`, message: (error as Error).message });
    }
  }
  if (problems.length > 0) throw new DomainError("REQUEST_INVALID", "The hello is not valid.", { problems });
}

function checkUnique(list: string, field: string, names: readonly string[], problems: FieldProblem[]): void {
  const seen = new Set<string>();
  for (const [index, name] of names.entries()) {
    if (seen.has(name)) {
      problems.push({
        path: `hello.${list}[${index}].${field}`,
        message: `${JSON.stringify(name)} stands there twice`,
      });
    }
    seen.add(name);
  }
}
