/** A worker's log. A pino logger fits. */
export type WorkerLog = {
  [Level in "debug" | "info" | "warn" | "error"]: (fields: Record<string, unknown>, message: string) => void;
};

/** The default log: warnings and errors go to stderr, one line each, so that a worker that cannot reach its server is
 *  not silent. */
export const STDERR_LOG: WorkerLog = {
  debug: () => {},
  info: () => {},
  warn: writeLine,
  error: writeLine,
};

export const NO_LOG: WorkerLog = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

function writeLine(fields: Record<string, unknown>, message: string): void {
  const shown = Object.entries(fields).map(([name, value]) => `${name}=${JSON.stringify(value) ?? "undefined"}`);
  process.stderr.write(`${["abstractruntime worker:", message, ...shown].join(" ")}\n`);
}
