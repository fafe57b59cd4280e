import { describe, expect, test } from "vitest";
import { BatchOutcomeUnknownError, StoreUnavailableError, type TroubleKind } from "../contract/errors.ts";
import { CallTimeoutError, commitErrorOf, NoRoomError, NotConnectedError, storeErrorOf } from "./errors.ts";

const withCode = (code: string, message = "what the database says") => Object.assign(new Error(message), { code });

describe("each trouble of a database has its own kind, for commits and for everything else", () => {
  test.each<[TroubleKind, Error]>([
    ["unreachable", withCode("ECONNREFUSED")],
    ["unreachable", withCode("ENETDOWN")],
    ["unreachable", withCode("CERT_HAS_EXPIRED")],
    ["unreachable", withCode("57P03")],
    ["unreachable", new NotConnectedError(withCode("ECONNRESET"))],
    ["timed_out", withCode("57014")],
    ["busy", new NoRoomError("all in use")],
    ["refuses_writes", withCode("25006")],
    ["disk_full", withCode("53100")],
    ["no_connections", withCode("53300")],
    ["no_connections", new NotConnectedError(withCode("08P01", "no more connections allowed (max_client_conn)"))],
    ["login_refused", withCode("28P01")],
    ["login_refused", withCode("28000")],
    ["login_refused", withCode("3D000")],
    ["permission_denied", withCode("42501")],
    ["schema_missing", withCode("42P01")],
    ["schema_missing", withCode("42883")],
    ["failing", withCode("53200")],
    ["failing", withCode("58030")],
    ["failing", withCode("XX001")],
    ["failing", withCode("26000")],
  ])("%s: %o", (kind, error) => {
    for (const mapped of [storeErrorOf(error), commitErrorOf(error)]) {
      expect(mapped).toBeInstanceOf(StoreUnavailableError);
      expect(mapped).toMatchObject({ kind, metadata: { kind }, cause: error });
      expect((mapped as StoreUnavailableError).message).not.toContain(error.message);
    }
  });
});

test.each([
  ["login_refused", "28P01"],
  ["permission_denied", "42501"],
  ["schema_missing", "42P01"],
])("%s does not ask callers to retry, because only an operator can end it", (_kind, code) => {
  const { reason, retryAfterMs } = storeErrorOf(withCode(code)) as StoreUnavailableError;
  expect([reason, retryAfterMs]).toEqual(["DATABASE_MISCONFIGURED", undefined]);
});

test("a commit whose connection was lost or silent has an unknown outcome, one that was never sent has not", () => {
  expect(commitErrorOf(withCode("ECONNRESET"))).toBeInstanceOf(BatchOutcomeUnknownError);
  expect(commitErrorOf(new CallTimeoutError("late"))).toMatchObject({ kind: "timed_out" });
  expect(commitErrorOf(new CallTimeoutError("late"))).toBeInstanceOf(BatchOutcomeUnknownError);
  expect(commitErrorOf(new NotConnectedError(withCode("ECONNRESET")))).toBeInstanceOf(StoreUnavailableError);
});

test("errors in a statement's data and bugs are no trouble of the database", () => {
  for (const error of [withCode("22P02"), withCode("23505"), new TypeError("a bug"), withCode("ERR_ASSERTION")]) {
    expect(storeErrorOf(error)).toBe(error);
  }
});
