/**
 * Frames on their way to a worker: those that lie next to each other and can be one are sent as one, up to a size. Nobody waits for
 * acknowledgements, so they gather for some milliseconds while others pass them. The engine offers nothing more while it is full;
 * most of the others answer what the worker sent, from which nothing more is read while they are many. A reader that takes nothing
 * is ended by the writing of the reply.
 */
import type { ServerFrame } from "../engine/api.ts";
import { offeredChars } from "../engine/offered-chars.ts";

/** Entries of one frame. */
const ENTRIES_MAX = 1_000;
/** Characters of payloads in one frame of offers; a payload may have a million itself. */
const OFFER_CHARS_MAX = 512 * 1024;

/** How long acknowledgements gather. */
const ACK_DELAY_MS = 10;

/** Characters of payloads that may wait to be sent before nothing more is offered: some of the largest jobs. */
const WAITING_CHARS_MAX = 4 * 1024 * 1024;

/** Characters of all other frames that may wait before nothing more is read; more than a worker's whole credit has acknowledgements. */
const REPLY_CHARS_MAX = 8 * 1024 * 1024;
/** What an entry takes in memory beside its token, about. */
const ENTRY_CHARS = 200;

export type FrameQueue = {
  push(frame: ServerFrame): void;
  /** Whether so much waits that nothing more is to be offered. */
  isFull(): boolean;
  /** Resolves when the worker has taken so much that more may be read from it, or the stream has ended. */
  roomForReplies(): Promise<void>;
  /** No more frames come: what is there is still sent, then the stream ends, with an error if there is one. */
  end(error?: Error): void;
  frames(): AsyncGenerator<ServerFrame>;
};

type Ack = Extract<ServerFrame, { type: "result_ack" }>["acks"][number];

export function createFrameQueue(): FrameQueue {
  const queue: ServerFrame[] = [];
  let acks: Ack[] = [];
  let ackTimer: NodeJS.Timeout | undefined;
  let waitingChars = 0;
  let replyChars = 0;
  const roomCallbacks: (() => void)[] = [];
  let wake: (() => void) | undefined;
  let ending: { error: Error | undefined } | undefined;

  /** Takes the first frame, with those after it that can be told in the same one. */
  function take(): ServerFrame {
    let frame = queue.shift()!;
    let chars = sizeOf(frame);
    let taken = 0;
    for (const next of queue) {
      chars += sizeOf(next);
      const joined = chars > OFFER_CHARS_MAX ? undefined : join(frame, next);
      if (joined === undefined) break;
      frame = joined;
      taken += 1;
    }
    queue.splice(0, taken);
    waitingChars -= sizeOf(frame);
    replyChars -= replySizeOf(frame);
    tellRoom();
    return frame;
  }

  /** Lets the acknowledgements that have gathered into the queue. */
  function queueAcks(): void {
    clearTimeout(ackTimer);
    ackTimer = undefined;
    for (let start = 0; start < acks.length; start += ENTRIES_MAX) {
      queue.push({ type: "result_ack", acks: acks.slice(start, start + ENTRIES_MAX) });
    }
    acks = [];
    wake?.();
  }

  function hasRoomForReplies(): boolean {
    return replyChars < REPLY_CHARS_MAX || ending !== undefined;
  }

  function tellRoom(): void {
    if (hasRoomForReplies()) for (const callback of roomCallbacks.splice(0)) callback();
  }

  return {
    push(frame) {
      if (ending !== undefined) return;
      waitingChars += sizeOf(frame);
      replyChars += replySizeOf(frame);
      if (frame.type === "result_ack") {
        acks.push(...frame.acks);
        ackTimer ??= setTimeout(queueAcks, ACK_DELAY_MS);
        return;
      }
      queue.push(frame);
      wake?.();
    },
    isFull: () => waitingChars >= WAITING_CHARS_MAX,
    roomForReplies: () =>
      hasRoomForReplies() ? Promise.resolve() : new Promise((resolve) => roomCallbacks.push(resolve)),
    end(error) {
      ending ??= { error };
      queueAcks();
      tellRoom();
      wake?.();
    },
    async *frames() {
      for (;;) {
        while (queue.length > 0) yield take();
        if (ending !== undefined) {
          if (ending.error !== undefined) throw ending.error;
          return;
        }
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        wake = undefined;
        // One turn later, so that what is said at once is sent at once.
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
  };
}

/** Characters of what is offered. */
function sizeOf(frame: ServerFrame): number {
  if (frame.type !== "offer") return 0;
  return frame.jobs.reduce((sum, job) => sum + offeredChars(job), 0);
}

/** Characters of what is not. */
function replySizeOf(frame: ServerFrame): number {
  if (frame.type === "offer") return 0;
  if (frame.type === "result_ack") return frame.acks.reduce((sum, { token }) => sum + token.length + ENTRY_CHARS, 0);
  if ("tokens" in frame) return frame.tokens.reduce((sum, token) => sum + token.length + ENTRY_CHARS, 0);
  return ENTRY_CHARS;
}

function join(frame: ServerFrame, next: ServerFrame): ServerFrame | undefined {
  if (frame.type === "offer" && next.type === "offer") {
    return fits(frame.jobs, next.jobs) ? { type: "offer", jobs: [...frame.jobs, ...next.jobs] } : undefined;
  }
  return undefined;
}

function fits(list: readonly unknown[], more: readonly unknown[]): boolean {
  return list.length + more.length <= ENTRIES_MAX;
}
