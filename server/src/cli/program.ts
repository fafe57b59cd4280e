/**
 * The command line: a client of the contract, and the way to start a server.
 *
 * It depends only on the contract and on core; `main` passes in the process and a function that starts a server.
 * Results go to stdout, everything else to stderr. `EXIT` lists the exit codes.
 */
import { Command } from "commander";
import { v7 as uuidv7 } from "uuid";

import { type Connect, connectToServer, pauseFor, SERVER_DEFAULT } from "./client.ts";
import type { CliContext, CliDeps } from "./context.ts";
import { withClientOptions } from "./context.ts";
import { addEventCommands } from "./event-commands.ts";
import { describeFailure, EXIT } from "./failure.ts";
import { addInboxCommand } from "./inbox-command.ts";
import { addLedgerCommands } from "./ledger-commands.ts";
import { addRunCommands } from "./run-commands.ts";
import { addServerCommand } from "./server-command.ts";
import { createTerminal } from "./terminal.ts";
import { addWorkflowCommands } from "./workflow-commands.ts";

/** What `main` passes in; the optional members are for tests. */
export type ProgramDeps = Pick<CliDeps, "stdout" | "stderr" | "stdin" | "env" | "startServer"> &
  Partial<CliDeps> & { version?: string };

/** Runs a command line and returns the exit code. `argv` excludes the names of node and the script. Never throws or
 *  exits.
 *
 *  For the server command, the promise resolves when `startServer` does. */
export async function runCli(argv: readonly string[], deps: ProgramDeps): Promise<number> {
  const context = createContext(deps);
  // Without listeners a closed pipe would end the process with a stack trace; the failed write is reported below. The
  // listeners stay, since the last write may fail after the command has ended.
  for (const stream of [deps.stdout, deps.stderr]) {
    if (!stream.listeners("error").includes(ignore)) stream.on("error", ignore);
  }
  try {
    await createProgram(context, deps.version).parseAsync(argv, { from: "user" });
    return context.exitCode;
  } catch (error) {
    // The reader of the pipe has stopped reading, as in `… | head`.
    if (isClosedPipe(error)) return EXIT.ok;
    const { message, exitCode } = describeFailure(error, context.server);
    if (message !== "") await context.terminal.note(message).catch(ignore);
    return exitCode;
  }
}

function ignore(): void {
  // Deliberately nothing.
}

function isClosedPipe(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "EPIPE" || error.code === "ERR_STREAM_DESTROYED");
}

function createContext(deps: ProgramDeps): CliContext {
  const connect: Connect = deps.connect ?? connectToServer;
  return {
    deps: {
      stdout: deps.stdout,
      stderr: deps.stderr,
      stdin: deps.stdin,
      env: deps.env,
      startServer: deps.startServer,
      connect,
      pause: deps.pause ?? pauseFor,
      now: deps.now ?? (() => new Date()),
      newId: deps.newId ?? (() => uuidv7()),
      onInterrupt: deps.onInterrupt ?? onProcessInterrupt,
    },
    terminal: createTerminal(deps),
    exitCode: EXIT.ok,
    server: SERVER_DEFAULT,
  };
}

function onProcessInterrupt(listener: () => void): () => void {
  process.once("SIGINT", listener);
  return () => process.removeListener("SIGINT", listener);
}

function createProgram(context: CliContext, version: string | undefined): Command {
  const { stdout, stderr } = context.deps;
  const program = withClientOptions(new Command("abstractruntime"))
    .description("Durable execution for workflows and AI agents that wait.")
    // Options before the command belong to the program, options after it to the command: `run start --version 2` is the
    // version of the workflow.
    .enablePositionalOptions()
    .exitOverride()
    .showSuggestionAfterError()
    .showHelpAfterError("(add --help for help)")
    .configureOutput({
      writeOut: (text) => void stdout.write(text),
      writeErr: (text) => void stderr.write(text),
    })
    .addHelpText(
      "after",
      `
Every command has --help: abstractruntime run start --help

A first run:
  $ abstractruntime server &
  $ abstractruntime workflow register examples/ask-user.yaml
  $ abstractruntime run start ask-user --run-id first --wait
  $ abstractruntime run answer first Ada
  $ abstractruntime ledger list first

Exit codes:
  ${EXIT.ok}  done
  ${EXIT.refused}  the server refused the request, or a file has problems
  ${EXIT.usage}  the command line is wrong
  ${EXIT.unreachable}  the server cannot be reached
  ${EXIT.notCompleted}  with --wait: the run did not complete`,
    );
  if (version !== undefined) program.version(version, "-V, --version");
  addServerCommand(program, context);
  addWorkflowCommands(program, context);
  addRunCommands(program, context);
  addInboxCommand(program, context);
  addEventCommands(program, context);
  addLedgerCommands(program, context);
  return program;
}
