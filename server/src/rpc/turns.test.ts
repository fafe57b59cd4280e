import { expect, test } from "vitest";
import { createTurns } from "./turns.ts";

/** A loop whose turns the test begins, and whose clock moves only by work. */
function createLoop() {
  const turns: (() => void)[] = [];
  const state = { now: 0, turn: 0 };
  const clock = { now: () => state.now, nextTurn: (callback: () => void) => void turns.push(callback) };
  const nextTurn = async (): Promise<void> => {
    state.turn += 1;
    for (const callback of turns.splice(0)) callback();
    // Everything that follows in the same turn.
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { clock, state, nextTurn };
}

test("long work on the main thread: work of many calls is spread over turns, in order", async () => {
  const { clock, state, nextTurn } = createLoop();
  const turns = createTurns(clock);
  const done: { call: number; turn: number }[] = [];
  const work = (call: number) => () => {
    state.now += 4;
    done.push({ call, turn: state.turn });
  };
  const calls = Array.from({ length: 9 }, (_, call) => turns.run(work(call), { isSheddable: true }));
  while (done.length < calls.length) await nextTurn();
  await Promise.all(calls);
  expect(done.map(({ call }) => call)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  expect(done.map(({ turn }) => turn)).toEqual([0, 0, 0, 1, 1, 1, 2, 2, 2]);
});

test("long work on the main thread: what follows from a piece of work counts in the same turn", async () => {
  const { clock, state, nextTurn } = createLoop();
  const turns = createTurns(clock);
  const turnsOfWork: number[] = [];
  const call = async () => {
    await turns.run(() => turnsOfWork.push(state.turn), { isSheddable: true });
    await Promise.resolve();
    state.now += 20;
  };
  state.now = 5;
  await turns.run(() => (state.now += 20), { isSheddable: true });
  const calls = [call(), call(), call()];
  for (let turn = 0; turn < 3; turn++) await nextTurn();
  await Promise.all(calls);
  expect(turnsOfWork).toEqual([1, 2, 3]);
});

test("work that waits too long is refused as OVERLOADED, unless its call has changed something", async () => {
  const { clock, state, nextTurn } = createLoop();
  const turns = createTurns(clock);
  await turns.run(() => (state.now += 60_000), { isSheddable: true });
  const late = turns.run(() => "late", { isSheddable: true });
  const owed = turns.run(() => "owed", { isSheddable: false });
  state.now += 60_000;
  const outcomes = Promise.allSettled([late, owed]);
  await nextTurn();
  expect(await outcomes).toMatchObject([
    { status: "rejected", reason: { reason: "OVERLOADED" } },
    { status: "fulfilled", value: "owed" },
  ]);
});

test("an error of the work reaches its call, and the rest goes on", async () => {
  const { clock, state, nextTurn } = createLoop();
  const turns = createTurns(clock);
  await turns.run(() => (state.now += 60), { isSheddable: true });
  const failing = turns.run(
    () => {
      throw new Error("no");
    },
    { isSheddable: true },
  );
  const next = turns.run(() => "next", { isSheddable: true });
  const outcomes = Promise.allSettled([failing, next]);
  await nextTurn();
  expect(await outcomes).toMatchObject([{ status: "rejected" }, { status: "fulfilled", value: "next" }]);
});
