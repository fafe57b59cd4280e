import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { pino } from "pino";
import { boundedLogHooks } from "./bounded-log.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function createLog() {
  const lines: Record<string, unknown>[] = [];
  const write = (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>);
  const log = pino({ level: "debug", base: null, hooks: boundedLogHooks() }, { write });
  return { log, lines };
}

test("noise: of each kind of line a number is written per minute, then how many were left out", () => {
  const { log, lines } = createLog();
  for (let request = 0; request < 20_000; request++) {
    log.info({ rpc: `/path/${request}`, reason: "REQUEST_INVALID" }, "rpc refused");
    log.warn({ rpc: `/path/${request}`, reason: "HOST_REFUSED", host: `host-${request}` }, "rpc refused");
    log.error({ err: new Error(String(request)) }, "rpc failed");
  }
  expect(lines).toHaveLength(60);
  log.info("something else");
  expect(lines.at(-1)).toMatchObject({ msg: "something else" });
  vi.advanceTimersByTime(60_000);
  expect(lines.slice(61)).toMatchObject([
    { line: "rpc refused: REQUEST_INVALID", leftOut: 19_980 },
    { line: "rpc refused: HOST_REFUSED", leftOut: 19_980 },
    { line: "rpc failed", leftOut: 19_980 },
  ]);
  log.info({ reason: "REQUEST_INVALID" }, "rpc refused");
  expect(lines).toHaveLength(65);
  vi.advanceTimersByTime(60_000);
  expect(lines).toHaveLength(65);
});

test("kinds that never repeat are bounded together; fatal and debug lines are always written", () => {
  const { log, lines } = createLog();
  for (let kind = 0; kind < 5_000; kind++) log.warn(`a message of kind ${kind}`);
  expect(lines.length).toBeLessThan(600);
  lines.length = 0;
  for (let line = 0; line < 100; line++) {
    log.fatal("the server failed");
    log.debug("rpc");
  }
  expect(lines).toHaveLength(200);
});
