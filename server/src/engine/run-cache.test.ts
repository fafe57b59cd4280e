import { beforeEach, expect, test } from "vitest";
import type { RunState } from "../core/run.ts";
import type { StoredRun } from "../store/contract/runs.ts";
import { createNoticeHub } from "./notice-hub.ts";
import { createRunCache, type RunCache, retainWatched } from "./run-cache.ts";
import { runKeyText } from "./run-table.ts";

const KEY = { tenantId: "t", runId: "r" };
const TEXT = runKeyText(KEY);

let cache: RunCache;
beforeEach(() => {
  cache = createRunCache();
});

function runAt(seq: number, state: Partial<RunState> = {}): StoredRun {
  const run = { ...KEY, status: "running", paused: false, calls: [], seq, ...state } as unknown as RunState;
  return { state: run, headHash: `hash-${seq}`, requestDigest: "", format: 1 };
}

test("a run is known only while somebody has an interest in it", () => {
  cache.put(TEXT, runAt(1));
  expect(cache.get(TEXT)).toBeUndefined();
  cache.retain(TEXT);
  cache.retain(TEXT);
  cache.put(TEXT, runAt(1));
  cache.release(TEXT);
  expect(cache.get(TEXT)?.run.state.seq).toBe(1);
  cache.release(TEXT);
  expect(cache.get(TEXT)).toBeUndefined();
  cache.retain(TEXT);
  expect(cache.get(TEXT)).toBeUndefined();
});

test.each([
  ["owned", {}],
  ["guess", { paused: true }],
  ["guess", { status: "waiting" }],
  ["guess", { inFlight: { at: "calls", calls: [] } }],
  ["guess", { status: "completed" }],
] as const)("a run is %s where %j", (certainty, state) => {
  cache.retain(TEXT);
  cache.put(TEXT, runAt(1, state));
  expect(cache.get(TEXT)?.certainty).toBe(certainty);
});

test("a watched run is known while it is watched, until another server has changed it", () => {
  const hub = createNoticeHub();
  const heard: (number | undefined)[] = [];
  const key = runAt(1).state;
  const unwatch = retainWatched(hub, cache).watchNamedRun(key, (run) => heard.push(run?.state.seq));
  cache.put(TEXT, runAt(1));
  hub.publish(key, runAt(1));
  expect(cache.get(TEXT)?.run.state.seq).toBe(1);
  hub.publish(key, undefined);
  expect(cache.get(TEXT)).toBeUndefined();
  cache.put(TEXT, runAt(2));
  unwatch();
  expect(cache.get(TEXT)).toBeUndefined();
  expect(heard).toEqual([1, undefined]);
});

test("a forgotten run is not known to anybody, and can be noted again", () => {
  cache.retain(TEXT);
  cache.put(TEXT, runAt(2));
  cache.forget(TEXT);
  expect(cache.get(TEXT)).toBeUndefined();
  cache.put(TEXT, runAt(1));
  expect(cache.get(TEXT)?.run.state.seq).toBe(1);
});

test("a run that is watched is of interest", () => {
  const hub = createNoticeHub();
  const news: unknown[] = [];
  const unwatch = retainWatched(hub, cache).watchNamedRun(KEY, (run) => news.push(run));
  const run = runAt(1, { status: "waiting" });
  cache.put(TEXT, run);
  hub.publish(KEY, run);
  expect(news).toEqual([run]);
  expect(cache.get(TEXT)?.run).toBe(run);
  unwatch();
  hub.publish(KEY, run);
  expect(news).toHaveLength(1);
  expect(cache.get(TEXT)).toBeUndefined();
});
