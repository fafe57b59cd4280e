/**
 * Schedules maintenance without knowing what it is: each kind is a `runOnce` that returns how many things it dealt
 * with.
 */
import type { Logger } from "pino";
import { isUnavailable } from "../retry.ts";

/** How many things one pass dealt with. */
export type Counts = Readonly<Record<string, number>>;

export type Pass = {
  /** Runs one pass now, unless one is under way. Never rejects: a failure is logged, and left to the next pass. */
  run(): Promise<void>;
};

/** @param name the kind of maintenance, for the log */
export function createPass(name: string, log: Logger, runOnce: () => Promise<Counts>): Pass {
  let running: Promise<void> | undefined;

  async function runLogged(): Promise<void> {
    try {
      const counts = await runOnce();
      if (Object.values(counts).some((count) => count > 0)) log.debug(counts, `${name}: done`);
    } catch (error) {
      if (!isUnavailable(error)) log.error({ err: error }, `${name}: failed`);
    }
  }

  return { run: () => (running ??= runLogged().finally(() => (running = undefined))) };
}

export type Loop = {
  /** Starts the first pass after `firstMs`. */
  start(firstMs: number): void;
  /** No further pass starts. */
  stop(): void;
};

/** Repeats a pass, each `everyMs` after the previous one has ended. */
export function createLoop(pass: Pass, everyMs: number): Loop {
  let timer: NodeJS.Timeout | undefined;
  let isStopped = false;

  function schedule(inMs: number): void {
    if (isStopped) return;
    timer = setTimeout(() => void pass.run().then(() => schedule(everyMs)), inMs);
  }

  return {
    start: schedule,
    stop() {
      isStopped = true;
      clearTimeout(timer);
    },
  };
}
