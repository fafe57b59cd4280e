/** What the worker has to send on one connection. The outbox keeps facts, not frames; it makes a frame when the
 *  connection takes one. So its size is bounded by the jobs that the worker holds, however slow the connection is, and
 *  each frame carries everything so far. */
import { type WorkRequest, WorkRequestSchema } from "@abstractruntime/proto/worker_service_pb";
import { create, type MessageInitShape } from "@bufbuild/protobuf";

import type { ResultStore } from "./worker-results.ts";

export type Outbox = {
  accept(token: string): void;
  heartbeat(token: string): void;
  /** Only the last ping is answered; that shows the same. */
  pong(number: bigint): void;
  drain(): void;
  /** Sent after everything else. */
  goodbye(): void;
  /** The server has offered this many jobs. */
  useCredit(jobs: number): void;
  /** How many jobs the server may still offer. */
  readonly credit: number;
  /** Whether goodbye was sent; nothing follows it. */
  readonly isFinished: boolean;
  /** The next frame; undefined if there is nothing to send. */
  takeFrame(): WorkRequest | undefined;
};

/** Credit is sent when this part of the worker's concurrency is free; if the server has less than this part left, after
 *  a short delay. So there is seldom one credit frame for each job. */
const CREDIT_PART = 4;
const CREDIT_DELAY_MS = 20;
/** Tokens have up to 1,024 characters, and a frame 3 MiB. */
const FRAME_TOKENS_MAX = 1_000;

export type OutboxOptions = {
  /** How many jobs the worker holds at once. */
  concurrency: number;
  /** How many more jobs the worker can take, if the server may still offer `credit` jobs. */
  creditWanted: (credit: number) => number;
  /** A delayed frame is due. */
  onDue: () => void;
};

export function createOutbox(results: ResultStore, { concurrency, creditWanted, onDue }: OutboxOptions): Outbox {
  const creditPart = Math.floor(concurrency / CREDIT_PART);
  const accepts = new Set<string>();
  const heartbeats = new Set<string>();
  let pingNumber: bigint | undefined;
  let credit = 0;
  let creditTimer: NodeJS.Timeout | undefined;
  let isCreditDue = false;
  let drain: "no" | "wanted" | "said" = "no";
  let goodbye: "no" | "wanted" | "said" = "no";

  // Accepts come before results, so that no job's result is sent before its accept.
  function nextFrame(): MessageInitShape<typeof WorkRequestSchema>["frame"] {
    if (pingNumber !== undefined) {
      const number = pingNumber;
      pingNumber = undefined;
      return { case: "pong", value: { number } };
    }
    if (accepts.size > 0) return { case: "accept", value: { tokens: takeTokens(accepts) } };
    const batch = results.takeBatch();
    if (batch.length > 0) return { case: "result", value: { results: batch } };
    if (heartbeats.size > 0) return { case: "heartbeat", value: { tokens: takeTokens(heartbeats) } };
    if (drain === "wanted") {
      drain = "said";
      return { case: "drain", value: {} };
    }
    if (goodbye === "wanted") {
      goodbye = "said";
      return { case: "goodbye", value: {} };
    }
    const jobs = drain === "no" ? creditWanted(credit) : 0;
    if (jobs <= 0) return undefined;
    // A server without any credit gets it at once: otherwise free places would stay empty.
    if (credit > 0 && jobs < creditPart && !isCreditDue) {
      // Otherwise the next offer comes here again before the server's credit is used up.
      if (credit < creditPart) {
        creditTimer ??= setTimeout(() => {
          isCreditDue = true;
          onDue();
        }, CREDIT_DELAY_MS);
      }
      return undefined;
    }
    clearTimeout(creditTimer);
    creditTimer = undefined;
    isCreditDue = false;
    credit += jobs;
    return { case: "credit", value: { jobs } };
  }

  return {
    accept: (token) => void accepts.add(token),
    heartbeat: (token) => void heartbeats.add(token),
    pong: (number) => {
      pingNumber = number;
    },
    drain: () => {
      if (drain === "no") drain = "wanted";
    },
    goodbye: () => {
      if (goodbye === "no") goodbye = "wanted";
    },
    useCredit: (jobs) => {
      credit = Math.max(0, credit - jobs);
    },
    get credit() {
      return credit;
    },
    get isFinished() {
      return goodbye === "said";
    },
    takeFrame() {
      if (goodbye === "said") return undefined;
      const frame = nextFrame();
      return frame === undefined ? undefined : create(WorkRequestSchema, { frame });
    },
  };
}

function takeTokens(tokens: Set<string>): string[] {
  const taken: string[] = [];
  for (const token of tokens) {
    if (taken.length === FRAME_TOKENS_MAX) break;
    taken.push(token);
    tokens.delete(token);
  }
  return taken;
}
