/** The command line. */
import { hostname } from "node:os";

import { Command, CommanderError, InvalidArgumentError, Option } from "commander";

export type Settings = {
  servers: string[];
  root: string;
  toolModules: string[];
  concurrency: number;
  health?: { host: string; port: number };
  name: string;
  actorId?: string;
  logLevel: string;
  allowPrivate: boolean;
};

/** The command line, or a file that it names, is wrong; the message is for the user. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

const SERVERS_DEFAULT = ["http://127.0.0.1:7400"];
const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "silent"];
const ACTOR_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
/** From the SDK: a hello names at most 10,000 jobs. */
const CONCURRENCY_MAX = 5_000;
/** From the contract. */
const NAME_CHARS_MAX = 256;

type Options = Omit<Settings, "servers" | "toolModules"> & { server?: string[]; tools: string[] };

/** Parses a command line. `argv` excludes the names of node and the script.
 *  @returns the settings, or the exit code if there is nothing to run: 0 for --help and --version, 2 for mistakes,
 *  which it reports */
export function readSettings(
  argv: readonly string[],
  { version, write }: { version: string; write: { out(text: string): void; err(text: string): void } },
): { settings: Settings } | { exitCode: number } {
  const command = createCommand(version).exitOverride().configureOutput({ writeOut: write.out, writeErr: write.err });
  try {
    command.parse([...argv], { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError) return { exitCode: error.exitCode === 0 ? 0 : 2 };
    throw error;
  }
  const { server = [], tools, ...rest } = command.opts<Options>();
  // An empty environment variable counts as absent.
  return { settings: { ...rest, servers: server.length === 0 ? SERVERS_DEFAULT : server, toolModules: tools } };
}

function createCommand(version: string): Command {
  return new Command("abstractruntime-tool-worker")
    .description("Serves tools for files and the web, and your own tools, to an AbstractRuntime server.")
    .version(version, "-V, --version")
    .addOption(
      new Option(
        "--server <url>",
        "the server, or several, separated by commas; may be repeated (default: http://127.0.0.1:7400)",
      )
        .argParser(collectServers)
        .env("ABSTRACTRUNTIME_URL"),
    )
    .option("--root <dir>", "the folder that the file tools are confined to", process.cwd())
    .option("--tools <module>", "a module whose default export is an array of tool(…); may be repeated", collect, [])
    .option("--concurrency <number>", "how many jobs run at once", readConcurrency, 100)
    .option(
      "--health <host:port>",
      "the address to serve /healthz on: 200 while connected (default: off)",
      readHostPort,
    )
    .option(
      "--name <text>",
      "the worker's name, for people",
      `${hostname()} tool-worker/${version}`.slice(0, NAME_CHARS_MAX),
    )
    .option("--actor-id <id>", "an actor id that is recorded with the worker's results", readActorId)
    .addOption(
      new Option("--log-level <level>", "the level of the log on stderr")
        .choices(LOG_LEVELS)
        .env("ABSTRACTRUNTIME_LOG_LEVEL")
        .default("info"),
    )
    .option("--allow-private", "let fetch_url reach private and loopback addresses", false)
    .allowExcessArguments(false)
    .showHelpAfterError("(add --help for help)")
    .addHelpText(
      "after",
      `
Examples:
  $ abstractruntime-tool-worker --root ./documents
  $ abstractruntime-tool-worker --server http://127.0.0.1:7400 --tools ./my-tools.ts

On SIGTERM or SIGINT, running jobs may finish within 25 s; a second signal ends the process at once.

Exit codes:
  0  stopped by a signal
  1  failed: the server refuses this worker, or an address is taken
  2  the command line or a tools module is wrong`,
    );
}

function collect(value: string, before: string[]): string[] {
  return [...before, value];
}

function collectServers(value: string, before: string[] = []): string[] {
  const added = value
    .split(",")
    .map((url) => url.trim())
    .filter((url) => url !== "");
  for (const url of added) {
    if (!/^https?:$/.test(URL.parse(url)?.protocol ?? "")) {
      throw new InvalidArgumentError(`It must be a URL such as ${SERVERS_DEFAULT[0]}.`);
    }
  }
  return [...before, ...added];
}

function readConcurrency(value: string): number {
  const number = Number(value);
  if (Number.isInteger(number) && number >= 1 && number <= CONCURRENCY_MAX) return number;
  throw new InvalidArgumentError(`It must be a whole number from 1 to ${CONCURRENCY_MAX}.`);
}

function readHostPort(value: string): { host: string; port: number } {
  const [, bracketed, host = bracketed, port] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(value) ?? [];
  if (host === undefined || Number(port) > 65_535)
    throw new InvalidArgumentError("It must be host:port, such as 127.0.0.1:7401.");
  return { host, port: Number(port) };
}

function readActorId(value: string): string {
  if (ACTOR_ID.test(value)) return value;
  throw new InvalidArgumentError(
    "It must be 1 to 128 letters, digits, '.', '_' or '-', beginning with a letter or digit.",
  );
}
