/** What all commands share: the process, the common options, and the connection. */
import type { Command } from "commander";

import {
  type Connect,
  createRuntimeClient,
  DEADLINE_DEFAULT_MS,
  type Pause,
  type RuntimeClient,
  SERVER_DEFAULT,
  serverUrl,
} from "./client.ts";
import { EXIT, UsageError } from "./failure.ts";
import { createLineReader, type InputStream, type LineReader, readAll } from "./line-reader.ts";
import type { OutputStream, Terminal } from "./terminal.ts";
import { type ReadInput, readDurationMs } from "./values.ts";

/** Settings of a server by the name of their environment variable, such as `ABSTRACTRUNTIME_LISTEN`. */
export type ServerSettings = Readonly<Record<string, string>>;

/** The process around the command line. */
export type CliDeps = {
  stdout: OutputStream;
  stderr: OutputStream;
  stdin: InputStream;
  env: Readonly<Record<string, string | undefined>>;
  /** Runs a server until it is stopped. The settings override the environment. */
  startServer: (settings: ServerSettings) => Promise<void>;
  connect: Connect;
  pause: Pause;
  now: () => Date;
  /** Creates a unique id. */
  newId: () => string;
  /** Calls `listener` on Ctrl-C instead of ending the process; returns a function that undoes this. */
  onInterrupt: (listener: () => void) => () => void;
};

/** The options of every command that talks to a server. */
type ClientOptions = { server?: string; deadline?: string; json?: true };

/** The running command. */
export type Session = RuntimeClient & {
  deps: CliDeps;
  terminal: Terminal;
  /** Whether to write the result as JSON. */
  json: boolean;
  /** How long a request may take. */
  deadlineMs: number;
  readInput: ReadInput;
  /** Lines from the terminal or a pipe; one reader for the whole command. */
  lines: () => LineReader;
};

export type CliContext = {
  deps: CliDeps;
  terminal: Terminal;
  /** The exit code so far. */
  exitCode: number;
  /** The server's URL, for messages. */
  server: string;
};

/** Adds the options of every command that talks to a server. */
export function withClientOptions(command: Command): Command {
  return command
    .option("--server <url>", `the server's URL (default: $ABSTRACTRUNTIME_URL, else ${SERVER_DEFAULT})`)
    .option("--deadline <duration>", `how long one request may take (default: ${DEADLINE_DEFAULT_MS / 1000}s)`)
    .option("--json", "write JSON: one document, or one document per line for streams");
}

/** Runs a command that needs no server. */
export async function runLocally(
  context: CliContext,
  command: Command,
  perform: (local: Pick<Session, "deps" | "terminal" | "json" | "readInput">) => Promise<void>,
): Promise<void> {
  const { json } = command.optsWithGlobals<ClientOptions>();
  await perform({
    deps: context.deps,
    terminal: context.terminal,
    json: json === true,
    readInput: inputReader(context.deps),
  });
}

/** Runs a command with a connection, and closes the connection afterwards. `perform` returns the exit code. */
export async function runWithClient(
  context: CliContext,
  command: Command,
  perform: (session: Session) => Promise<number | undefined>,
): Promise<void> {
  const { deps, terminal } = context;
  const options = command.optsWithGlobals<ClientOptions>();
  context.server = serverUrl(options.server ?? (deps.env["ABSTRACTRUNTIME_URL"] || SERVER_DEFAULT));
  const deadlineMs =
    options.deadline === undefined ? DEADLINE_DEFAULT_MS : readDurationMs("--deadline", options.deadline);
  const connection = deps.connect(context.server);
  let reader: LineReader | undefined;
  try {
    context.exitCode =
      (await perform({
        ...createRuntimeClient(connection.transport, { deadlineMs, pause: deps.pause }),
        deps,
        terminal,
        json: options.json === true,
        deadlineMs,
        readInput: inputReader(deps),
        lines: () => (reader ??= createLineReader(deps.stdin)),
      })) ?? EXIT.ok;
  } finally {
    reader?.close();
    connection.close();
  }
}

/** Standard input can be read only once, so only one option may be `-`. */
function inputReader(deps: CliDeps): ReadInput {
  let taken = false;
  return () => {
    if (taken) throw new UsageError("only one value can be `-`, because standard input can be read only once");
    taken = true;
    return readAll(deps.stdin);
  };
}

/** Collects the values of an option that may be given several times. */
export function collect(value: string, before: readonly string[] | undefined): string[] {
  return [...(before ?? []), value];
}
