/** Checks a decoded request, whatever its encoding, for unknown fields, payloads that are not I-JSON or are too
 *  large, text that Postgres cannot store, and times that do not exist. */
import type { DescField, DescMessage, DescOneof, Message } from "@bufbuild/protobuf";
import { ScalarType } from "@bufbuild/protobuf";
import type { Duration, Timestamp, Value } from "@bufbuild/protobuf/wkt";
import { DomainError, type FieldProblem } from "../core/errors.ts";
import { assertJson } from "../core/json/json.ts";
import { pointerText } from "../core/json/pointer-text.ts";
import { dottedPath, type Segment } from "./field-path.ts";
import { jsonFromValue } from "./json-conversion.ts";
import { instantFromTimestamp } from "./time-conversion.ts";

/** The maximum number of problems to report: more would help nobody. */
const PROBLEMS_MAX = 100;
/** The range of google.protobuf.Duration: 10,000 years. */
const DURATION_SECONDS_MAX = 315_576_000_000n;

type Findings = { path: Segment[]; problems: FieldProblem[] };
type Check = (value: unknown, findings: Findings) => void;

/** Returns every unknown field and invalid value of a request, at most 100.
 *  @throws {DomainError} PAYLOAD_INVALID, PAYLOAD_TOO_LARGE, PAYLOAD_TOO_DEEP, NUMBER_NOT_EXACT for the first bad
 *  payload */
export function messageProblems(desc: DescMessage, message: Message): FieldProblem[] {
  const findings: Findings = { path: [], problems: [] };
  messageCheck(desc)(message, findings);
  return findings.problems;
}

function report(findings: Findings, message: string): void {
  if (findings.problems.length >= PROBLEMS_MAX) return;
  findings.problems.push({ path: dottedPath(findings.path), message });
}

/** Compiled once per message type, because every request passes here. */
const CHECKS = new WeakMap<DescMessage, Check>();

function messageCheck(desc: DescMessage): Check {
  const known = CHECKS.get(desc);
  if (known !== undefined) return known;
  const steps: Check[] = [];
  const check: Check = (message, findings) => {
    for (const { no } of (message as Message).$unknown ?? []) report(findings, `unknown field number ${no}`);
    for (const step of steps) step(message, findings);
  };
  // Set before the fields are compiled, because message types may contain themselves.
  CHECKS.set(desc, check);
  for (const member of desc.members) {
    const step = member.kind === "oneof" ? oneofStep(member) : fieldStep(member);
    if (step !== undefined) steps.push(step);
  }
  return check;
}

function fieldStep(field: DescField): Check | undefined {
  const check = fieldCheck(field);
  if (check === undefined) return undefined;
  return (message, findings) => {
    const value = (message as Record<string, unknown>)[field.localName];
    if (value === undefined || value === "") return;
    findings.path.push(field.jsonName);
    check(value, findings);
    findings.path.pop();
  };
}

function oneofStep(oneof: DescOneof): Check {
  const checks = new Map(oneof.fields.map((field) => [field.localName, { field, check: fieldCheck(field) }]));
  return (message, findings) => {
    const chosen = (message as Record<string, { case: string | undefined; value?: unknown }>)[oneof.localName];
    const entry = chosen?.case === undefined ? undefined : checks.get(chosen.case);
    if (entry?.check === undefined) return;
    findings.path.push(entry.field.jsonName);
    entry.check(chosen?.value, findings);
    findings.path.pop();
  };
}

function fieldCheck(field: DescField): Check | undefined {
  switch (field.fieldKind) {
    case "scalar":
      return field.scalar === ScalarType.STRING && !isTakenAsItIs(field) ? checkText : undefined;
    case "enum":
      return undefined;
    case "message":
      return valueCheck(field.message);
    case "list":
      return listCheck(elementCheck(field));
    case "map":
      return mapCheck(elementCheck(field));
  }
}

/** A tool's failure is cleaned, and a job's token that this installation did not make is refused by itself: refusing
 *  the frame would end the worker's stream, and then its next one. */
function isTakenAsItIs(field: DescField): boolean {
  return field.parent.typeName === "abstractruntime.v1.JobFailure" || TOKEN_FIELDS.has(field.name);
}

const TOKEN_FIELDS: ReadonlySet<string> = new Set(["token", "tokens", "held_tokens"]);

function elementCheck(field: DescField & { fieldKind: "list" | "map" }): Check | undefined {
  if (field.message !== undefined) return valueCheck(field.message);
  return field.scalar === ScalarType.STRING && !isTakenAsItIs(field) ? checkText : undefined;
}

function listCheck(check: Check | undefined): Check | undefined {
  if (check === undefined) return undefined;
  return (list, findings) => {
    for (const [index, item] of (list as unknown[]).entries()) {
      findings.path.push(index);
      check(item, findings);
      findings.path.pop();
    }
  };
}

function mapCheck(check: Check | undefined): Check {
  return (map, findings) => {
    for (const [key, item] of Object.entries(map as Record<string, unknown>)) {
      findings.path.push(key);
      checkText(key, findings);
      check?.(item, findings);
      findings.path.pop();
    }
  };
}

function valueCheck(desc: DescMessage): Check {
  switch (desc.typeName) {
    case "google.protobuf.Struct":
      return checkPayload;
    case "google.protobuf.Value":
      return (value, findings) => checkPayload(jsonFromValue(value as Value), findings);
    case "google.protobuf.Timestamp":
      return checkTimestamp;
    case "google.protobuf.Duration":
      return checkDuration;
    default:
      return messageCheck(desc);
  }
}

const checkText: Check = (text, findings) => {
  if ((text as string).includes("\0")) report(findings, "must not contain U+0000");
};

const checkTimestamp: Check = (timestamp, findings) => {
  try {
    instantFromTimestamp(timestamp as Timestamp);
  } catch {
    report(findings, "must be in the years 0001 to 9999");
  }
};

const checkDuration: Check = (duration, findings) => {
  const { seconds, nanos } = duration as Duration;
  const inRange = seconds <= DURATION_SECONDS_MAX && seconds >= -DURATION_SECONDS_MAX && Math.abs(nanos) <= 999_999_999;
  if (!inRange || (seconds > 0n && nanos < 0) || (seconds < 0n && nanos > 0)) report(findings, "is not a duration");
};

const checkPayload: Check = (payload, findings) => {
  try {
    assertJson(payload);
  } catch (error) {
    throw error instanceof DomainError ? placed(error, findings.path) : error;
  }
};

/** Returns the refusal of a payload with a pointer that starts at the request's root. */
function placed(error: DomainError, path: readonly Segment[]): DomainError {
  const inner = error.metadata["pointer"] ?? "";
  const pointer = pointerText(path) + inner;
  const end = error.message.lastIndexOf(" (at ");
  const what = end === -1 ? error.message : error.message.slice(0, end);
  return new DomainError(error.reason, `${what} (at ${pointer})`, { metadata: { ...error.metadata, pointer } });
}
