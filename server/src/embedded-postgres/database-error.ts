/** Why a database cannot be used, if waiting does not help and an operator has to act. */
export type DatabaseSetupReason =
  | "URL_INVALID"
  | "LOGIN_REFUSED"
  | "DATABASE_UNKNOWN"
  | "TLS_REFUSED"
  | "VERSION_UNSUPPORTED"
  | "ENCODING_UNSUPPORTED"
  | "SETTING_UNSUITABLE"
  | "POOLER_UNSUITABLE"
  | "DATABASE_UNSUITABLE"
  | "TIMED_OUT"
  | "DATA_DIR_UNUSABLE"
  | "DATA_DIR_IN_USE"
  | "BINARIES_UNUSABLE"
  | "PORT_UNAVAILABLE"
  | "START_FAILED";

/** The database cannot be used until an operator changes something; the message says what. Never contains a
 *  password. */
export class DatabaseSetupError extends Error {
  readonly reason: DatabaseSetupReason;

  constructor(reason: DatabaseSetupReason, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "DatabaseSetupError";
    this.reason = reason;
  }
}

/** Logs messages for the operator. A pino logger fits. */
export type DatabaseLog = {
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
};

/** Returns the SQLSTATE or system code of an error of the client, or "". */
export function errorCode(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : "";
}

/** Describes an error of the client to an operator, in a few words. Never contains a password. */
export function describeDatabaseError(error: unknown): string {
  switch (errorCode(error)) {
    case "ECONNREFUSED":
      return "connection refused";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "the host name is unknown";
    case "CONNECT_TIMEOUT":
    case "ETIMEDOUT":
      return "no answer";
    case "ECONNRESET":
    case "CONNECTION_CLOSED":
    case "CONNECTION_DESTROYED":
      return "the connection was closed";
    case "53300":
      return "it has too many connections";
    default:
      return error instanceof Error && error.message !== "" ? error.message : `it failed with ${errorCode(error)}`;
  }
}
