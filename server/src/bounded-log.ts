/**
 * Bounds the log: whoever can send requests must not be able to fill a disk with lines about them. Of each kind of line
 * a number per minute is written; then one line says how many were left out.
 */
import type { LoggerOptions } from "pino";

/** Lines of one kind in a minute: enough to see a trouble's pattern. */
const LINES_MAX = 20;
const WINDOW_MS = 60_000;
/** Kinds that are counted by themselves; all others are one kind. There are fewer messages and reasons than this. */
const KINDS_MAX = 500;
/** pino's number of the level `info`; `fatal`, after which the process ends, is 60. */
const INFO = 30;
const FATAL = 60;

type Kind = { lines: number; leftOut: number; write: (fields: object, message: string) => void };
type LogMethod = NonNullable<NonNullable<LoggerOptions["hooks"]>["logMethod"]>;

/**
 * Hooks for pino. A kind is a message with its `reason` or `code`: values that a caller can choose are no part of it.
 * Lines at `debug` and below are all written: nobody runs a server so.
 */
export function boundedLogHooks(): { logMethod: LogMethod } {
  let kinds = new Map<string, Kind>();
  let timer: NodeJS.Timeout | undefined;

  function kindOf(name: string, write: Kind["write"]): Kind {
    const counted = kinds.size < KINDS_MAX || kinds.has(name) ? name : "other";
    const kind = kinds.get(counted) ?? { lines: 0, leftOut: 0, write };
    kinds.set(counted, kind);
    return kind;
  }

  return {
    logMethod(args, method, level) {
      if (level < INFO || level >= FATAL) return method.apply(this, args);
      timer ??= setTimeout(() => {
        timer = undefined;
        const ended = kinds;
        kinds = new Map();
        for (const [line, { leftOut }] of ended) {
          if (leftOut > 0)
            method.call(this, { line, leftOut }, "more lines of a kind were left out in the last minute");
        }
      }, WINDOW_MS).unref();
      const kind = kindOf(nameOf(args), (fields, message) => method.call(this, fields, message));
      kind.lines += 1;
      if (kind.lines <= LINES_MAX) return method.apply(this, args);
      kind.leftOut += 1;
    },
  };
}

function nameOf([first, second]: readonly unknown[]): string {
  if (typeof first === "string") return first;
  const { reason, code } = (first ?? {}) as { reason?: unknown; code?: unknown };
  return [second, reason ?? code].filter((part) => typeof part === "string").join(": ");
}
