/** The end of a demo: exit codes, signals, and clean-up. */

export const EXIT = { ok: 0, failed: 1, usage: 2, interrupted: 130 } as const;
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** The command line, or a file that it names, is invalid; the message is for the user. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

export type Interruption = {
  /** Aborted by the first SIGINT, SIGTERM or SIGHUP; the second one ends the process at once. */
  readonly signal: AbortSignal;
  /** Cleans up, once, and lets signals end the process again. */
  finish: () => void;
};

/** @param cleanUp called at every kind of exit at which code can still run; must be synchronous */
export function listenForEnd(cleanUp: () => void): Interruption {
  const interrupted = new AbortController();
  let cleaned = false;
  const cleanUpOnce = () => {
    if (cleaned) return;
    cleaned = true;
    cleanUp();
  };
  const interrupt = (signal: NodeJS.Signals) => {
    if (interrupted.signal.aborted) process.exit(EXIT.interrupted);
    interrupted.abort(new Error(`ended by ${signal}`));
  };
  process.on("exit", cleanUpOnce);
  for (const signal of SIGNALS) process.on(signal, interrupt);
  return {
    signal: interrupted.signal,
    finish() {
      cleanUpOnce();
      for (const signal of SIGNALS) process.off(signal, interrupt);
    },
  };
}
