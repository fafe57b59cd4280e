/** How a command fails: its message and its exit code. */
import { BadRequestSchema, ErrorInfoSchema } from "@abstractruntime/proto/google/rpc/error_details_pb";
import { Code, ConnectError } from "@connectrpc/connect";
import { CommanderError } from "commander";

import { DomainError } from "../core/errors.ts";
import { safeLine, safeText } from "./terminal.ts";

/** Exit codes. Scripts depend on them. */
export const EXIT = {
  /** Done. */
  ok: 0,
  /** The server refused the request, or a file has problems. */
  refused: 1,
  /** The command line itself is wrong. */
  usage: 2,
  /** The server cannot be reached, or does not answer in time. */
  unreachable: 3,
  /** The run failed, was cancelled, or did not end within --timeout. */
  notCompleted: 4,
  /** A bug of the command line. */
  internal: 70,
} as const;

/** A failure with a message for the user; `message` is shown as it is and may have several lines. */
export class CliError extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode: number = EXIT.refused) {
    super(message);
    this.name = "CliError";
    this.exitCode = exitCode;
  }
}

/** The command line is wrong: a bad value, options that cannot be combined, or a missing answer. */
export class UsageError extends CliError {
  constructor(message: string) {
    super(message, EXIT.usage);
    this.name = "UsageError";
  }
}

/** Why a server refused, from `google.rpc.ErrorInfo` and `BadRequest`. */
export type Refusal = { reason: string; message: string; problems: { path: string; message: string }[] };

/** The refusal in an error, if the server sent one. */
export function refusalOf(error: unknown): Refusal | undefined {
  if (!(error instanceof ConnectError)) return undefined;
  const info = error.findDetails(ErrorInfoSchema).find((detail) => detail.domain === "abstractruntime");
  if (info === undefined) return undefined;
  const problems = error
    .findDetails(BadRequestSchema)
    .flatMap((detail) =>
      detail.fieldViolations.map(({ field, description }) => ({ path: field, message: description })),
    );
  return { reason: info.reason, message: error.rawMessage, problems };
}

/** No server, no answer in time, or a broken connection. HTTP/2 reports that as CANCELED or ABORTED; the client itself
 *  never cancels. */
const UNREACHABLE: ReadonlySet<Code> = new Set([Code.Unavailable, Code.DeadlineExceeded, Code.Canceled, Code.Aborted]);

/** Whether the server could not be reached. A refusal by the server itself does not count. */
function isUnreachable(error: unknown): boolean {
  return error instanceof ConnectError && refusalOf(error) === undefined && UNREACHABLE.has(error.code);
}

/** The message for the user about a failure, and the exit code. */
export function describeFailure(error: unknown, server: string): { message: string; exitCode: number } {
  if (error instanceof CliError) return { message: error.message, exitCode: error.exitCode };
  if (error instanceof CommanderError) {
    return { message: "", exitCode: error.exitCode === 0 ? EXIT.ok : EXIT.usage };
  }
  // Values of the command line are parsed by core, which throws DomainErrors.
  if (error instanceof DomainError)
    return { message: `${error.reason}: ${safeLine(error.message)}`, exitCode: EXIT.refused };
  const refusal = refusalOf(error);
  if (refusal !== undefined) {
    const lines = [`${safeLine(refusal.reason)}: ${safeText(refusal.message)}`];
    for (const { path, message } of refusal.problems) {
      const problem = path === "" ? message : `${path}: ${message}`;
      // The server's message already includes the first problems.
      if (!refusal.message.includes(problem)) lines.push(`  ${safeLine(problem)}`);
    }
    return { message: lines.join("\n"), exitCode: EXIT.refused };
  }
  if (error instanceof ConnectError) return describeConnectError(error, server);
  const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return {
    message: `internal error, which is a bug in the command line: ${safeText(detail)}`,
    exitCode: EXIT.internal,
  };
}

function describeConnectError(error: ConnectError, server: string): { message: string; exitCode: number } {
  const what = safeLine(error.rawMessage);
  if (error.code === Code.DeadlineExceeded) {
    return {
      message: `the server at ${server} did not answer in time; use --deadline to wait longer`,
      exitCode: EXIT.unreachable,
    };
  }
  if (isUnreachable(error)) {
    const hint = "Start one with `abstractruntime server`, or set its URL with --server or ABSTRACTRUNTIME_URL.";
    return { message: `cannot reach a server at ${server}: ${what}\n${hint}`, exitCode: EXIT.unreachable };
  }
  return { message: `the server at ${server} answered ${Code[error.code]}: ${what}`, exitCode: EXIT.refused };
}
