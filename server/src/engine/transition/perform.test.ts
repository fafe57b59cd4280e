import { pino } from "pino";
import { beforeEach, describe, expect, test } from "vitest";
import type { Instant } from "../../core/duration.ts";
import { DomainError } from "../../core/errors.ts";
import { startRun } from "../../core/start-run.ts";
import { compileWorkflow } from "../../core/compile/workflow.ts";
import { BatchRejectedError } from "../../store/contract/errors.ts";
import type { StoredRun } from "../../store/contract/runs.ts";
import type { Lanes } from "../lanes/server-lease.ts";
import type { Reaction } from "../reactions.ts";
import { createClock } from "../clock.ts";
import { OwnedElsewhereError } from "../retry.ts";
import { createRunCache } from "../run-cache.ts";
import { createRunTable, runKeyText } from "../run-table.ts";
import { perform, performExclusive, type PerformOptions, performStart, type TransitionParts } from "./perform.ts";
import type { StimulusOf } from "./plan.ts";

const KEY = { tenantId: "t", runId: "r" };
const OWN_LANE = 7;
const asking = compileWorkflow({
  workflowId: "w",
  entryNode: "ask",
  nodes: {
    ask: { askUser: { prompt: "Sure?" }, next: [{ to: "done" }] },
    done: { complete: {} },
  },
});

const unused = (): never => {
  throw new Error("a transition does not ask for this");
};
const pausing: StimulusOf = (now) => ({ type: "pause", now });
const nothing: StimulusOf = () => undefined;

/** What happened, in order. */
let events: string[];
/** The outcomes of the items to commit, in order; "committed" after the last one. */
let outcomes: ("conflict" | "channel_moved" | Error)[];
/** The run as the database has it. */
let stored: StoredRun | undefined;
let lines: Record<string, unknown>[];
let parts: TransitionParts;

function reactionCalled(name: string): Reaction {
  return {
    committed: ({ run, hasNotices }) =>
      events.push(`${name} heard of ${run.state.seq}${hasNotices ? ", noticed" : ""}`),
    refused: (_key, storedSeq) => events.push(`${name}: refused at ${storedSeq}`),
  };
}

const reserving: Reaction = {
  reserve(plan) {
    events.push(`reserved for ${plan.after.seq}`);
    return { jobs: [], commit: () => events.push("reservation committed"), cancel: () => events.push("cancelled") };
  },
};

beforeEach(() => {
  events = [];
  outcomes = [];
  stored = undefined;
  lines = [];
  const cache = createRunCache();
  const lanes: Lanes = {
    laneOf: () => ({
      lease: { laneId: OWN_LANE, nonce: 1 },
      pending: 0,
      async submit() {
        const outcome = outcomes.shift();
        if (outcome instanceof Error) throw outcome;
        events.push(outcome ?? "committed");
        if (outcome === undefined) return { type: "committed" };
        return outcome === "conflict"
          ? { type: outcome, transition: 0, cause: "seq" }
          : { type: outcome, transition: 0 };
      },
    }),
    laneFor: unused,
    anyLane: unused,
    isOwnLane: (laneId) => laneId === OWN_LANE,
    pending: () => 0,
    hasOthers: () => false,
  };
  parts = {
    clock: createClock(),
    log: pino({ level: "debug" }, { write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>) }),
    reads: {
      async loadRun() {
        events.push("loaded");
        return stored;
      },
    } as unknown as TransitionParts["reads"],
    workflows: { pinned: async () => asking, toStart: async () => asking },
    lanes,
    runs: createRunTable(cache),
    cache,
    handlers: {
      runHandler: () => expect.unreachable("no handler here"),
      finishedHandler: () => expect.unreachable("no handler here"),
    },
    reactions: [reactionCalled("first"), reserving, reactionCalled("second")],
  };
});

/** Starts the run, which then waits for its answer; what that did is not among the events. */
async function start(): Promise<StoredRun> {
  const now = "2026-01-02T03:04:05.678901Z" as Instant;
  const channels = { run: 0, session: 0, workflow: 0, global: 0 };
  const request = { vars: {}, labels: {}, limits: {}, paused: false };
  const decision = startRun({ ...request, ...KEY, type: "start", now, channels }, asking);
  const run = await performStart(parts, KEY, { decision, workflow: asking, requestDigest: "d" });
  stored = run;
  events = [];
  lines = [];
  return run!;
}

function change(stimulusOf: StimulusOf, options?: PerformOptions) {
  return performExclusive(parts, KEY, stimulusOf, options);
}

describe("reactions", () => {
  test("hear of a commit in their order, after the reservation", async () => {
    const { state } = await start();
    await change(pausing);
    const seq = state.seq + 1;
    expect(events).toEqual([
      "loaded",
      `reserved for ${seq}`,
      "committed",
      "reservation committed",
      `first heard of ${seq}, noticed`,
      `second heard of ${seq}, noticed`,
    ]);
  });

  test("hear that a conflict refused what was decided, which is then decided again from what is read", async () => {
    const { state } = await start();
    outcomes = ["conflict"];
    await change(pausing);
    const refused = ["cancelled", `first: refused at ${state.seq}`, `second: refused at ${state.seq}`];
    expect(events.slice(2, 7)).toEqual(["conflict", ...refused, "loaded"]);
    expect(events.at(-1)).toBe(`second heard of ${state.seq + 1}, noticed`);
  });

  test("hear that a batch was rejected", async () => {
    const { state } = await start();
    outcomes = [new BatchRejectedError("no")];
    await expect(change(pausing)).rejects.toMatchObject({ reason: "TRANSITION_REJECTED" });
    expect(events.slice(2)).toEqual(["cancelled", `first: refused at ${state.seq}`, `second: refused at ${state.seq}`]);
  });

  test("hear nothing where there is nothing to do", async () => {
    await start();
    await change(nothing);
    expect(events).toEqual(["loaded"]);
  });
});

describe("what is known of a run", () => {
  test("a guess is used only if the options allow it", async () => {
    stored = await start();
    parts.cache.retain(runKeyText(KEY));
    parts.cache.put(runKeyText(KEY), stored);
    await change(nothing);
    expect(events).toEqual(["loaded"]);
    events = [];
    await change(pausing, { mayGuess: true });
    expect(events[0]).toBe(`reserved for ${stored.state.seq + 1}`);
  });

  test("a guess from which nothing follows is checked by a read", async () => {
    const old = await start();
    const { run: paused } = await change(pausing);
    parts.cache.retain(runKeyText(KEY));
    parts.cache.put(runKeyText(KEY), old);
    stored = paused;
    events = [];
    const seen: boolean[] = [];
    const { run } = await change(
      (_now, { paused: isPaused }) => {
        seen.push(isPaused);
        return undefined;
      },
      { mayGuess: true },
    );
    expect({ seen, events, run }).toEqual({ seen: [false, true], events: ["loaded"], run: paused });
  });

  test("a guess that a commit shows to be wrong is forgotten", async () => {
    const old = await start();
    parts.cache.retain(runKeyText(KEY));
    parts.cache.put(runKeyText(KEY), old);
    outcomes = ["conflict"];
    await change(pausing, { mayGuess: true });
    expect(events.filter((event) => event === "loaded")).toHaveLength(1);
  });

  test("a run that is active under another lane is not computed on", async () => {
    const run = await start();
    stored = { ...run, ownerLane: OWN_LANE + 1 };
    await expect(change(pausing)).rejects.toThrow(OwnedElsewhereError);
    expect(events).toEqual(["loaded"]);
  });

  test("a run that others keep changing is given up", async () => {
    await start();
    outcomes = Array.from({ length: 50 }, () => "conflict" as const);
    await expect(change(pausing)).rejects.toMatchObject({ reason: "TRANSITION_CONFLICT" });
    expect(events.filter((event) => event === "conflict")).toHaveLength(20);
  });

  test("a run that is not there is unknown", async () => {
    await expect(perform(parts, KEY, pausing)).rejects.toThrow(DomainError);
  });
});

test("each transition writes a line at debug level, without payloads", async () => {
  const { state } = await start();
  await change(pausing);
  const facts = { fromSeq: state.seq, toSeq: state.seq + 1, kinds: ["run.paused"], laneId: OWN_LANE };
  expect(lines).toMatchObject([{ level: 20, msg: "transition committed", ...KEY, ...facts }]);
});
