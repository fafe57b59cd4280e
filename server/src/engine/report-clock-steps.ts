/**
 * Tells people that a clock was set. Nothing is wrong with the server then, but people see why runs move early or late.
 */
import type { Logger } from "pino";
import type { ClockStep } from "./clock.ts";
import type { Health } from "./health.ts";

/** How long health shows a step: long enough for whoever looks every few minutes. */
const SHOWN_MS = 10 * 60_000;

type ClockStepReporter = { report(step: ClockStep): void; stop(): void };

export function createClockStepReporter(health: Health, log: Logger): ClockStepReporter {
  let timer: NodeJS.Timeout | undefined;
  return {
    report(step) {
      const message = describe(step);
      // Health logs the first step; a further one has a size of its own.
      if (health.has("clock_stepped")) log.warn(step, message);
      health.report("clock_stepped", message, step);
      clearTimeout(timer);
      timer = setTimeout(() => health.clear("clock_stepped"), SHOWN_MS).unref();
    },
    stop: () => clearTimeout(timer),
  };
}

function describe({ clock, stepMs }: ClockStep): string {
  const by = `${Math.abs(stepMs) / 1000} s ${stepMs < 0 ? "back" : "forward"}`;
  return clock === "database"
    ? `The database's clock was set ${by}, or this machine was suspended; due times go by the database's new time.`
    : `This server's clock was set ${by}, or its machine was suspended; due times go by the database's clock.`;
}
