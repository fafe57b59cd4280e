import { expect, test } from "vitest";
import type { OfferedJob, ServerFrame } from "../engine/api.ts";
import { createFrameQueue, type FrameQueue } from "./frame-queue.ts";

const ack = (token: string): ServerFrame => ({ type: "result_ack", acks: [{ token, status: "accepted" }] });

/** A queue in which so many replies wait that nothing more should be read. */
async function crowded(): Promise<{ queue: FrameQueue; pushed: number }> {
  const queue = createFrameQueue();
  for (let pushed = 1; ; pushed++) {
    queue.push(ack("x".repeat(1_000)));
    if (!(await hasRoom(queue))) return { queue, pushed };
  }
}

async function hasRoom(queue: FrameQueue): Promise<boolean> {
  let isThere = false;
  queue.roomForReplies().then(
    () => {
      isThere = true;
    },
    () => undefined,
  );
  await Promise.resolve();
  return isThere;
}

test("unread replies make no room for more, and are bounded", async () => {
  const { queue, pushed } = await crowded();
  // A worker's whole credit has acknowledgements of some hundred characters.
  expect(pushed).toBeGreaterThan(5_000);
  expect(pushed).toBeLessThan(10_000);
  const room = queue.roomForReplies();
  await queue.frames().next();
  await room;
  expect(await hasRoom(queue)).toBe(true);
});

test("offers pass acknowledgements, which are collected into one frame", async () => {
  const queue = createFrameQueue();
  const offer: ServerFrame = { type: "offer", jobs: [] };
  queue.push(ack("a"));
  queue.push(offer);
  queue.push(ack("b"));
  const frames = queue.frames();
  expect((await frames.next()).value).toEqual(offer);
  expect((await frames.next()).value).toMatchObject({ acks: [{ token: "a" }, { token: "b" }] });
});

test("large vars count as offered: frames stay small, and offers stop when too much waits", async () => {
  const queue = createFrameQueue();
  const offerOf = (id: number): ServerFrame => {
    const largeVars = [{ name: "documents", id, text: "x".repeat(300_000) }];
    return { type: "offer", jobs: [{ payload: "{}", largeVars } as unknown as OfferedJob] };
  };
  let offers = 0;
  for (; !queue.isFull(); offers++) queue.push(offerOf(offers));
  expect(offers).toBe(14);
  const frames = queue.frames();
  const ids: number[] = [];
  for (let index = 0; index < offers; index++) {
    const frame = (await frames.next()).value as Extract<ServerFrame, { type: "offer" }>;
    ids.push(...frame.jobs.flatMap(({ largeVars = [] }) => largeVars.map(({ id }) => id)));
    expect(frame.jobs).toHaveLength(1);
  }
  // Ids that later jobs name alone come with the first.
  expect(ids).toEqual(ids.toSorted((a, b) => a - b));
  expect(queue.isFull()).toBe(false);
});

test("collected acknowledgements are sent before the end", async () => {
  const queue = createFrameQueue();
  queue.push(ack("a"));
  queue.end();
  queue.push(ack("late"));
  const frames = queue.frames();
  expect(await frames.next()).toEqual({ done: false, value: ack("a") });
  expect(await frames.next()).toEqual({ done: true, value: undefined });
});

test("the end of the stream releases callers that wait for room", async () => {
  const { queue } = await crowded();
  const room = queue.roomForReplies();
  queue.end();
  await room;
  expect(await hasRoom(queue)).toBe(true);
});

test("offers do not keep the worker's frames from being read", async () => {
  const queue = createFrameQueue();
  const job = { token: "t", payload: "x".repeat(1_000_000) } as Extract<ServerFrame, { type: "offer" }>["jobs"][number];
  for (let jobs = 0; jobs < 20; jobs++) queue.push({ type: "offer", jobs: [job] });
  expect(queue.isFull()).toBe(true);
  expect(await hasRoom(queue)).toBe(true);
});
