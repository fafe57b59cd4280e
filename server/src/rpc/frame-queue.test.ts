import { expect, test } from "vitest";
import type { ServerFrame } from "../engine/api.ts";
import { createFrameQueue, type FrameQueue } from "./frame-queue.ts";

const ack = (token: string): ServerFrame => ({ type: "result_ack", acks: [{ token, status: "accepted" }] });

/** A queue in which so many replies wait that nothing more is to be read. */
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

test("replies that nobody takes make no room for more, and are bounded", async () => {
  const { queue, pushed } = await crowded();
  // A worker's whole credit has acknowledgements of some hundred characters.
  expect(pushed).toBeGreaterThan(5_000);
  expect(pushed).toBeLessThan(10_000);
  const room = queue.roomForReplies();
  await queue.frames().next();
  await room;
  expect(await hasRoom(queue)).toBe(true);
});

test("the end of the stream lets go of who waits for room", async () => {
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
