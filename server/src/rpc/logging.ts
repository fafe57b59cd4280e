import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import type { Logger } from "pino";
import { DomainError } from "../core/errors.ts";
import { mapErrors } from "./streams.ts";

/** Damaged data (DATA_LOSS) is logged as an error where it is found, once a minute; each refusal is a line at info.
 *
 *  The log level of a failure: `error` for the server's own faults, `warn` for what an operator may want to see,
 *  `debug` for what is not a failure. Callers' mistakes are logged at `info`. */
const LEVEL_BY_CODE: Partial<Record<Code, "error" | "warn" | "debug">> = {
  [Code.Internal]: "error",
  [Code.Unknown]: "error",
  [Code.Unavailable]: "warn",
  [Code.ResourceExhausted]: "warn",
  [Code.PermissionDenied]: "warn",
  [Code.Canceled]: "debug",
  [Code.DeadlineExceeded]: "debug",
};

/** Characters of a value in a line. */
const VALUE_CHARS_MAX = 256;

/** Logs one line per RPC, at debug if it succeeded. Never logs a payload: refusals have only paths and bounds in
 *  their messages, and ids in their metadata. */
export function loggingInterceptor(log: Logger): Interceptor {
  return (next) => async (request) => {
    const startedAt = performance.now();
    const rpc = shortened(new URL(request.url).pathname);
    const finished = (error?: unknown): void => {
      const ms = Math.round(performance.now() - startedAt);
      if (error === undefined) log.debug({ rpc, ms }, "rpc");
      else logFailure(log, { rpc, ms }, error);
    };
    try {
      const response = await next(request);
      if (!response.stream) finished();
      const logged = (error: unknown): Error => {
        finished(error);
        return error as Error;
      };
      return response.stream ? { ...response, message: mapErrors(response.message, logged) } : response;
    } catch (error) {
      finished(error);
      throw error;
    }
  };
}

/** Locks of others are no trouble of the database, and a run of a newer release is none either. */
function isToldAlready({ reason, metadata: { kind } }: DomainError): boolean {
  const isOfDatabase = reason === "DATABASE_UNAVAILABLE" || reason === "DATABASE_MISCONFIGURED";
  return isOfDatabase && kind !== undefined && kind !== "contended";
}

function logFailure(log: Logger, fields: { rpc: string; ms: number }, thrown: unknown): void {
  const error = ConnectError.from(thrown);
  const usualLevel = LEVEL_BY_CODE[error.code] ?? "info";
  const { cause } = error;
  if (cause instanceof DomainError) {
    const { reason, problems } = cause;
    // What is wrong with the database is logged where it is noticed, once, not for each request that meets it.
    const level = isToldAlready(cause) ? "debug" : usualLevel;
    const paths = problems.length === 0 ? {} : { problems: problems.slice(0, 3).map(({ path }) => shortened(path)) };
    const metadata = Object.entries(cause.metadata).map(([name, value]) => [name, shortened(value)] as const);
    log[level]({ ...fields, code: Code[error.code], reason, ...Object.fromEntries(metadata), ...paths }, "rpc refused");
  } else if (usualLevel === "error") {
    log.error({ ...fields, code: Code[error.code], err: cause ?? error }, "rpc failed");
  } else {
    log[usualLevel]({ ...fields, code: Code[error.code] }, "rpc failed");
  }
}

/** The caller chooses what refusals name, and how long it is. */
function shortened(text: string): string {
  return text.length > VALUE_CHARS_MAX ? `${text.slice(0, VALUE_CHARS_MAX)}…` : text;
}
