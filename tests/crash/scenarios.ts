/** What clients do with the runs of each graph, and what the outcome must be. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Run } from "../conformance/api.ts";
import type { Chance } from "./chance.ts";
import { type Client, orRefused, RefusedError } from "./client.ts";
import { type Audited, differs, type Expectation, type Knowledge, takenEvents } from "./expectations.ts";
import { EVENTS_WANTED, listenerId, NAPS, ROUNDS, SCOPES, type ScopeName } from "./graphs.ts";

export type World = Knowledge & {
  client: Client;
  chance: Chance;
  /** An id that was not used before. */
  newId(prefix: string): string;
  radio: Radio;
};

/** One client that emits numbered events to everyone, one after the other. */
export type Radio = {
  /** The number of the last event that was acknowledged. */
  acknowledged: number;
  /** The number of the last event that was sent, acknowledged or not. */
  sent: number;
};

export type Scenario = (world: World) => Promise<void>;

const COMPLETED = "RUN_STATUS_COMPLETED";
/** A pause like that of a person who reads, or of one who does not. */
const READING_MS = 250;

async function start(
  { client, counts, expectations }: World,
  request: { runId: string; workflowId: string; vars?: object; sessionId?: string; paused?: boolean; startAt?: string },
  problems: (audited: Audited) => string[],
  status: Expectation["status"] = COMPLETED,
): Promise<Run> {
  expectations.set(request.runId, { runId: request.runId, status, problems });
  const { run } = await client.call("StartRun", request);
  counts.starts += 1;
  return run;
}

/** Waits until a run is at a question of `nodeId`. Returns undefined if it has passed it. */
async function untilAsked({ client }: World, runId: string, nodeId: string): Promise<string | undefined> {
  for (;;) {
    const { run } = await client.call("AwaitRun", { runId, reasons: ["WAIT_REASON_USER"], timeout: "10s" });
    if (run.waiting?.nodeId === nodeId) return run.waiting.waitId;
    if (run.endTime !== undefined) return undefined;
  }
}

/** Answers a question, alone or with a rival, and notes who got which reply. */
async function answer(world: World, runId: string, waitId: string, given: string): Promise<boolean> {
  const { client, answers, counts, newId } = world;
  const requestId = newId("answer");
  const reply = await orRefused(
    client.call("ResumeRun", { runId, waitId, requestId, actorId: "ada", payload: { answer: given } }),
    "WAIT_ALREADY_ANSWERED",
    "RUN_NOT_WAITING",
  );
  const isTaken = typeof reply !== "string";
  answers.push({ runId, waitId, requestId, answer: given, outcome: isTaken ? "acknowledged" : "refused" });
  counts[isTaken ? "answers" : "lateAnswers"] += 1;
  return isTaken;
}

async function emit(
  { client, counts }: World,
  event: { name: string; scope?: string; eventId: string; key?: string; payload?: unknown; [target: string]: unknown },
): Promise<void> {
  const reply = await client.call("EmitEvent", event);
  if (reply.eventId !== event.eventId) throw new Error(`the event ${event.eventId} became ${reply.eventId}`);
  counts.events += 1;
}

async function pauseABit({ chance }: World, upToMs: number): Promise<void> {
  await sleep(chance.between(0, upToMs));
}

const askAndAnswer: Scenario = async (world) => {
  const { chance } = world;
  const runId = world.newId("question");
  const taken = { first: [] as string[], second: "nobody" };
  await start(
    world,
    { runId, workflowId: "question", vars: { patience: `${chance.between(50, 600)}ms` } },
    ({ run }) => [
      ...differs("the number of answers that were acknowledged", taken.first.length, 1),
      ...differs("the output", run.output, { first: taken.first[0], second: taken.second }),
    ],
  );
  const first = await untilAsked(world, runId, "ask");
  if (first === undefined) throw new Error(`run ${runId} passed a question that nobody has answered`);
  const rivals = chance.happens(0.4) ? ["yes", "no"] : [chance.pick(["yes", "no"])];
  await Promise.all(
    rivals.map(async (given) => {
      if (await answer(world, runId, first, given)) taken.first.push(given);
    }),
  );
  const second = await untilAsked(world, runId, "hurry");
  await pauseABit(world, 2 * READING_MS);
  if (second !== undefined && (await answer(world, runId, second, "still"))) taken.second = "still";
};

const nap: Scenario = async (world) => {
  const { chance, client, counts, expectations } = world;
  const startAt = chance.happens(0.3) ? new Date(Date.now() + chance.between(50, 400)).toISOString() : undefined;
  const problems = ({ run, records }: Audited) => {
    const naps = run.output as { due_time: string; fire_time: string }[];
    const tooEarly = naps.filter((nap) => nap.fire_time < nap.due_time);
    // It was sent until it was acknowledged, so its time may have passed before: then it began at once.
    const began = Date.parse(records.find(({ nodeId }) => nodeId !== undefined)?.time ?? "");
    return [
      ...differs("the number of naps", naps.length, NAPS),
      ...tooEarly.map((nap) => `a timer of ${nap.due_time} fired at ${nap.fire_time}`),
      ...(startAt === undefined || began >= Date.parse(startAt) ? [] : [`it began before ${startAt}`]),
    ];
  };
  const requests = Array.from({ length: chance.between(1, 4) }, () => ({
    runId: world.newId("naps"),
    workflowId: "naps",
    vars: { nap: `${chance.between(1, 300)}ms` },
    ...(startAt === undefined ? {} : { startAt }),
  }));
  for (const { runId } of requests) expectations.set(runId, { runId, status: COMPLETED, problems });
  // The result of a single start may ask to try again later: the batch is sent again, which changes nothing for the
  // other starts.
  for (;;) {
    const { results } = await client.call("StartRuns", { requests });
    const errors = results.flatMap(({ error }) => (error === undefined ? [] : [error]));
    if (errors.length === 0) break;
    const lasting = errors.find(
      ({ reason }) => !/DATABASE_UNAVAILABLE|SHUTTING_DOWN|OVERLOADED|TRANSITION_CONFLICT/.test(reason),
    );
    if (lasting !== undefined) throw new Error(`a start was refused: ${JSON.stringify(lasting)}`);
    await sleep(READING_MS);
  }
  counts.starts += requests.length;
};

function targetOf(scope: ScopeName, ids: { runId: string; sessionId: string; workflowId: string }): object {
  if (scope === "RUN") return { runId: ids.runId };
  if (scope === "SESSION") return { sessionId: ids.sessionId };
  return scope === "WORKFLOW" ? { workflowId: ids.workflowId } : {};
}

/**
 * Events before, while and after runs wait for them. Every run takes each once and in order, but no event from before
 * its start.
 */
const listen: Scenario = async (world) => {
  const { chance } = world;
  const scope = chance.pick(SCOPES);
  const keyed = chance.happens(0.5);
  const workflowId = listenerId(scope, keyed);
  const id = world.newId("listen");
  const isPattern = !keyed && chance.happens(0.5);
  const name = keyed ? "order.paid" : id;
  const runIds = scope === "RUN" ? [id] : [`${id}-a`, `${id}-b`];
  const sessionId = `session-${id}`;
  const target = { scope: `SCOPE_${scope}`, ...targetOf(scope, { runId: id, sessionId, workflowId }) };
  const emitOne = (eventId: string, key = id) =>
    emit(world, {
      ...target,
      name: isPattern ? `${name}.${eventId.at(-1)}` : name,
      eventId,
      payload: { eventId },
      ...(keyed ? { key } : {}),
    });
  if (scope !== "RUN" && chance.happens(0.5)) await emitOne(`${id}-before`);
  const eventIds = Array.from({ length: EVENTS_WANTED }, (_, index) => `${id}-event-${index}`);
  const vars = {
    name: isPattern ? `${name}.*` : name,
    key: id,
    wanted: EVENTS_WANTED,
    settle: `${chance.pick([0, 0, 30, 150])}ms`,
  };
  await Promise.all(
    runIds.map((runId) =>
      start(world, { runId, workflowId, sessionId, vars }, ({ run, records }) => [
        ...differs("the events it took", takenEvents(records), eventIds),
        ...differs("the output", run.output, eventIds),
      ]),
    ),
  );
  for (const [index, eventId] of eventIds.entries()) {
    await pauseABit(world, 80);
    // No run waits for this one: it belongs to another order.
    if (keyed && chance.happens(0.3)) await emitOne(`${id}-other-${index}`, `${id}-other`);
    await emitOne(eventId);
    // Once more, like a client that has lost the reply. The last event may have ended the run; its repeat is recognised
    // nevertheless.
    if (chance.happens(0.2)) await emitOne(eventId);
  }
};

const comeLate: Scenario = async (world) => {
  const runId = world.newId("latecomer");
  const eventId = `${runId}-event`;
  await start(world, { runId, workflowId: "latecomer", vars: { patience: "150ms" } }, ({ run, records }) => [
    ...differs("the events it took", takenEvents(records), [eventId]),
    ...differs("the output", (run.output as { id?: string }).id, eventId),
  ]);
  await pauseABit(world, 300);
  await emit(world, { runId, name: "late", eventId });
};

/** No event after the start is missing, and none from before it is there. */
const hearRadio: Scenario = async (world) => {
  const { radio } = world;
  const runId = world.newId("radio");
  const earliest = radio.acknowledged + 1;
  let latest = Number.POSITIVE_INFINITY;
  const vars = { name: "radio", key: "", wanted: EVENTS_WANTED, settle: "0ms" };
  await start(world, { runId, workflowId: listenerId("GLOBAL", false), vars }, ({ records }) => {
    const numbers = takenEvents(records).map((eventId) => Number(eventId.slice("radio-".length)));
    const first = numbers[0] ?? Number.NaN;
    return [
      ...differs(
        "the broadcasts it took",
        numbers,
        Array.from({ length: EVENTS_WANTED }, (_, index) => first + index),
      ),
      ...(first >= earliest && first <= latest
        ? []
        : [`the first broadcast it took is ${first}, not one of ${earliest} to ${latest}`]),
    ];
  });
  latest = radio.sent + 1;
};

const sendParcels: Scenario = async (world) => {
  const id = world.newId("parcels");
  const [from, to] = [`${id}-from`, `${id}-to`];
  const rounds = Array.from({ length: ROUNDS }, (_, round) => round);
  const problems = ({ run, records }: Audited) => [
    ...differs("the output", run.output, rounds),
    ...differs("the number of different events", new Set(takenEvents(records)).size, ROUNDS),
  ];
  await start(world, { runId: to, workflowId: "receiver", sessionId: id }, problems);
  await start(world, { runId: from, workflowId: "sender", sessionId: id, vars: { peer: to } }, problems);
};

const spin: Scenario = async (world) => {
  const turns = world.chance.between(200, 1_500);
  const isTicked = world.chance.happens(0.2);
  const runId = world.newId("spinner");
  const vars = { turns: isTicked ? 60 : turns };
  await start(world, { runId, workflowId: "spinner", vars, paused: isTicked }, ({ run, records }) => [
    ...differs("the output", run.output, vars.turns),
    ...differs("the steps", records.filter(({ nodeId }) => nodeId === "spin").length, vars.turns),
  ]);
  if (!isTicked) return;
  // A tick that is sent again takes more steps, but never one twice.
  await world.client.call("TickRun", { runId, maxSteps: 5 });
  await unpause(world, runId);
};

const cancel: Scenario = async (world) => {
  const { chance, client, counts } = world;
  const runId = world.newId("doomed");
  const vars = { turns: chance.pick([1, 1, 400]) };
  const problems = ({ run, records }: Audited) => [
    ...differs("how often it was tidied up", run.vars?.["tidied"], 1),
    ...differs("the requests to cancel", records.filter(({ kind }) => kind === "run.cancel_requested").length, 1),
  ];
  await start(world, { runId, workflowId: "doomed", vars }, problems, "RUN_STATUS_CANCELLED");
  await pauseABit(world, 150);
  if (chance.happens(0.3)) await pause(world, runId);
  await client.call("CancelRun", { runId, actorId: "ada", reason: "enough" });
  counts.cancels += 1;
  if (chance.happens(0.2)) await client.call("CancelRun", { runId });
};

/** Pauses a run and waits until it is paused: a run at work on another server gets the request as mail. */
async function pause({ client, counts }: World, runId: string): Promise<void> {
  let { run } = await client.call("PauseRun", { runId });
  while (run.paused !== true) {
    await sleep(READING_MS / 10);
    ({ run } = await client.call("GetRun", { runId }));
  }
  counts.pauses += 1;
}

async function unpause({ client }: World, runId: string): Promise<void> {
  try {
    await client.call("UnpauseRun", { runId });
  } catch (error) {
    // If a call was sent more than once, an earlier one may have done it.
    if (!(error instanceof RefusedError) || error.attempts === 1) throw error;
    if (!["RUN_NOT_PAUSED", "RUN_ENDED"].includes(error.refusal.reason)) throw error;
  }
}

const waitPaused: Scenario = async (world) => {
  const { chance } = world;
  const runId = world.newId("patient");
  const eventId = `${runId}-go`;
  const paused = chance.happens(0.3);
  await start(world, { runId, workflowId: "patient", paused }, ({ run, records }) => {
    const pausedAt = records.findIndex(({ kind }) => kind === (paused ? "run.started" : "run.paused"));
    return [
      ...differs("the output", run.output, eventId),
      ...differs("the record after the pause", records[pausedAt + 1]?.kind, "run.unpaused"),
      ...differs("the number of pauses", records.filter(({ kind }) => kind === "run.paused").length, paused ? 0 : 1),
    ];
  });
  if (!paused) await pause(world, runId);
  await emit(world, { runId, name: "go", eventId });
  await pauseABit(world, READING_MS);
  await unpause(world, runId);
};

/** Each as often as it is worth. */
export const SCENARIOS: readonly Scenario[] = [
  { scenario: askAndAnswer, times: 6 },
  { scenario: listen, times: 4 },
  { scenario: nap, times: 2 },
  { scenario: comeLate, times: 2 },
  { scenario: hearRadio, times: 1 },
  { scenario: sendParcels, times: 2 },
  { scenario: spin, times: 2 },
  { scenario: cancel, times: 2 },
  { scenario: waitPaused, times: 2 },
].flatMap(({ scenario, times }) => Array.from({ length: times }, () => scenario));

/** Emits the radio's next event. */
export async function broadcast(world: World): Promise<void> {
  const { radio } = world;
  radio.sent += 1;
  await emit(world, { name: "radio", scope: "SCOPE_GLOBAL", eventId: `radio-${radio.sent}` });
  radio.acknowledged = radio.sent;
}
