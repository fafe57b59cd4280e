/** Answers questions so that each answer counts once, even if something dies before the reply arrives. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import { type Wait, WaitReason } from "@abstractruntime/proto/wait_pb";
import { Code, ConnectError } from "@connectrpc/connect";

import type { RuntimeClient } from "../support/connection.ts";
import { toValue, valueOf } from "../support/values.ts";
import type { Chance } from "./chance.ts";

/** An answer that the server acknowledged. */
export type Acknowledged = { runId: string; waitId: string; requestId: string; answer: string };

export type Answerer = {
  /** By run. */
  readonly acknowledged: ReadonlyMap<string, Acknowledged>;
  /** Answers a question. If a reminder closed its wait just before, the same answer goes to the wait that followed.
   *  Returns false if the run has no question any more. */
  answer: (wait: Wait, answer: string, actorId: string) => Promise<boolean>;
};

/** Long enough for a run to get from one question to the next, including a restart in between. */
const NEXT_QUESTION_S = 30;
/** Longer than that, so that the server's own timeout applies. */
const NEXT_QUESTION_TRY_MS = 40_000;

export function createAnswerer(runtime: RuntimeClient): Answerer {
  const acknowledged = new Map<string, Acknowledged>();

  async function nextQuestion(runId: string): Promise<Wait | undefined> {
    const { run } = await runtime.awaitRun(
      { runId, reasons: [WaitReason.USER], timeout: { seconds: BigInt(NEXT_QUESTION_S) } },
      { timeoutMs: NEXT_QUESTION_TRY_MS },
    );
    return run?.waiting?.reason === WaitReason.USER ? run.waiting : undefined;
  }

  return {
    acknowledged,
    async answer(wait, answer, actorId) {
      const { runId } = wait;
      for (let open: Wait | undefined = wait; open !== undefined; open = await nextQuestion(runId)) {
        const { waitId } = open;
        // One id per answer and wait: after a crash, the retried request is still the same answer.
        const requestId = randomUUID();
        try {
          await runtime.resumeRun({ runId, waitId, requestId, actorId, payload: toValue({ answer }) });
          acknowledged.set(runId, { runId, waitId, requestId, answer });
          return true;
        } catch (error) {
          // WAIT_ALREADY_ANSWERED, RUN_NOT_WAITING: the reminder was faster.
          if (!(error instanceof ConnectError) || error.code !== Code.FailedPrecondition) throw error;
        }
      }
      return false;
    },
  };
}

/** One in this many questions is ignored until its first reminder. */
const OVERLOOKED = 0.25;
const THINKING_MS_MIN = 100;
const THINKING_MS_MAX = 1_400;

/** A person who answers by a rule of thumb, takes a moment to think, and sometimes misses a question. */
export type AutomaticPerson = {
  /** Shows the person an open wait. Returns at once. */
  show: (wait: Wait) => void;
  /** Rejects with the first failure; never resolves. */
  readonly failed: Promise<never>;
};

export function createAutomaticPerson(options: {
  answerer: Answerer;
  chance: Chance;
  /** Whether some questions are ignored until their reminder. */
  overlooks: boolean;
  /** Cancels pending answers. */
  signal: AbortSignal;
}): AutomaticPerson {
  const { answerer, chance, overlooks, signal } = options;
  /** The missed wait, by run. */
  const overlooked = new Map<string, string>();
  const taken = new Set<string>();
  const { promise: failed, reject } = Promise.withResolvers<never>();

  async function think(wait: Wait): Promise<void> {
    const ms = THINKING_MS_MIN + (THINKING_MS_MAX - THINKING_MS_MIN) * chance("think", wait.runId);
    await sleep(ms, undefined, { signal });
    await answerer.answer(wait, ruleOfThumb(wait), "accounting.lead");
  }

  return {
    failed,
    show(wait) {
      const { runId, waitId } = wait;
      if (wait.reason !== WaitReason.USER || taken.has(runId)) return;
      const overlook = overlooks && chance("overlook", runId) < OVERLOOKED;
      if (overlook && !overlooked.has(runId)) overlooked.set(runId, waitId);
      if (overlooked.get(runId) === waitId) return;
      taken.add(runId);
      think(wait).catch(reject);
    },
  };
}

/** The details of expense.yaml's question. */
export type Question = {
  id: string;
  date: string;
  description: string;
  amount: string;
  amount_eur: number;
  limit_eur: number;
  reminders: number;
};

export function questionOf(wait: Wait): Question {
  return valueOf(wait.details) as Question;
}

export function choicesOf(wait: Wait): string[] {
  return valueOf(wait.choices) as string[];
}

/** Approves up to twice the limit, reduces up to three times the limit, and refuses anything above. */
export function ruleOfThumb(wait: Wait): string {
  const { amount_eur: amount, limit_eur: limit } = questionOf(wait);
  if (amount <= 2 * limit) return "approve";
  return amount <= 3 * limit ? "approve up to the limit" : "refuse";
}
