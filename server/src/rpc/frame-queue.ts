/**
 * Frames on their way to a worker. Adjacent offers are merged, up to a size. Nobody waits for acknowledgements, so they
 * are collected for some milliseconds while other frames pass them. While the queue is full, the engine offers nothing
 * more. Most other frames answer the worker, so while too many of them wait, nothing more is read from the worker. A
 * worker that reads nothing is disconnected by response-writing.ts.
 */
import type { ServerFrame } from "../engine/api.ts";
import { offeredChars } from "../engine/offered-chars.ts";

/** Entries of one frame. */
const ENTRIES_MAX = 1_000;
/** Characters of payloads in one offer frame; a single payload may have a million. */
const OFFER_CHARS_MAX = 512 * 1024;

/** How long acknowledgements are collected. */
const ACK_DELAY_MS = 10;

/** Characters of waiting payloads at which offers stop: room for some of the largest jobs. */
const WAITING_CHARS_MAX = 4 * 1024 * 1024;

/** Characters of other waiting frames at which reading stops: more than the acknowledgements of a worker's whole
 *  credit. */
const REPLY_CHARS_MAX = 8 * 1024 * 1024;
/** The approximate memory of an entry besides its token. */
const ENTRY_CHARS = 200;

export type FrameQueue = {
  push(frame: ServerFrame): void;
  /** Whether so much waits that nothing more should be offered. */
  isFull(): boolean;
  /** Resolves when more may be read from the worker, or the stream has ended. */
  roomForReplies(): Promise<void>;
  /** Sends the frames that are queued, then ends the stream, with an error if one is given. */
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

  /** Takes the first frame, merged with the following frames that fit into it. */
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

  /** Moves the collected acknowledgements to the queue. */
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
        // One turn later, so that frames that are pushed together are sent together.
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
  };
}

/** Characters of an offer; 0 for other frames. */
function sizeOf(frame: ServerFrame): number {
  if (frame.type !== "offer") return 0;
  return frame.jobs.reduce((sum, job) => sum + offeredChars(job), 0);
}

/** Characters of any frame but an offer; 0 for an offer. */
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
