/** A server in this process, on the environment of an operator, with its log: for tests of its start. */
import { pino } from "pino";
import { createApi } from "../conformance/api.ts";
import { loadConfig } from "../../server/src/config.ts";
import { startServer } from "../../server/src/serve.ts";

export type StartedServer = {
  url: string;
  /** The messages that it has logged so far, those that it waited for included. */
  messages: readonly string[];
  /** Starts a run, and returns its status when it has ended. */
  tryOut(): Promise<string>;
  stop(): Promise<void>;
};

/**
 * Starts a server.
 * @param messages receives what it logs, also if the start does not come to an end
 * @throws what the start throws
 */
export async function startOn(
  environment: Readonly<Record<string, string>>,
  messages: string[] = [],
  signal = new AbortController().signal,
): Promise<StartedServer> {
  const log = pino(
    { level: "info" },
    { write: (line) => void messages.push((JSON.parse(line) as { msg: string }).msg) },
  );
  const config = loadConfig({ ABSTRACTRUNTIME_LISTEN: "127.0.0.1:0", ...environment });
  const server = await startServer(config, log, signal);
  const api = createApi(server);
  return {
    url: server.url,
    messages,
    async tryOut() {
      const run = await api.run({
        entryNode: "first",
        nodes: { first: { assign: {}, next: [{ to: "end" }] }, end: { complete: {} } },
      });
      await api.call("DeleteRun", { runId: run.runId });
      return run.status;
    },
    stop: () => server.stop(),
  };
}

/** The message with which a start ends. */
export async function refusalOf(environment: Readonly<Record<string, string>>): Promise<string> {
  try {
    const server = await startOn(environment);
    await server.stop();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("the server has started");
}
