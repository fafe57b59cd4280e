/**
 * Verifies a run's ledger from nothing but the reply of `LedgerService.ListStepRecords` with `include_proof`, and folds
 * it to the run's state. It is written from docs/ledger-format.md and shares no code with the server, so that an error
 * in one shows as a difference from the other.
 *
 *   node tests/verifier/verify-ledger.ts --server http://127.0.0.1:7400 RUN_ID [--tenant ID] [--head SEQ:HASH]
 *
 * Exit codes: 0 "whole", 1 "broken", 3 "unfinished" (docs/ledger-format.md says what each means), 2 if the ledger could
 * not be read or the arguments are wrong.
 */
import { createHash } from "node:crypto";
import { parseArgs } from "node:util";

/** A record as the Connect protocol's JSON shows it. */
type ShownRecord = Record<string, unknown> & { proof?: ShownProof };
type ShownProof = { headerJson?: string; bodyJson?: string; given?: string; salts?: Record<string, string> };
type Shown = Record<string, unknown>;

export type Verification = {
  /**
   * "whole": everything was checked, to an end that is known, and nothing is wrong. "broken": something is wrong.
   * "unfinished": nothing wrong was found, but something could not be checked; `notes` says what.
   */
  verdict: "whole" | "broken" | "unfinished";
  /** The verdict is "whole". */
  ok: boolean;
  /** The number of records checked. */
  records: number;
  problems: string[];
  /** What is allowed but could not be checked: erased parts, kinds of later releases, an end that is not known. */
  notes: string[];
  /** Parts whose payload was erased. */
  erased: number;
  /** Whether the ledger could be folded and, if a run was given, was compared with it. */
  stateChecked: boolean;
  /** Whether it is known that no record is missing at the end. */
  endChecked: boolean;
  /** Whether the graph was given that the first record names. */
  workflowChecked: boolean;
  /** The hash of the last record: with it, a rewritten ledger can later be recognised. */
  headHash?: string;
  /** What the ledger folds to; missing if it could not be folded to its end. */
  state?: FoldedState;
};

/** What the caller knows besides the ledger. */
export type Known = {
  tenantId?: string;
  runId?: string;
  /** A hash that was kept: the ledger must still have it there. */
  head?: { seq: number; hash: string };
  /** The JSON of GetWorkflow's workflow: the graph whose digest the first record names. */
  workflow?: unknown;
};

/**
 * Verifies `stepRecords`, which must be all records of a run from the first one on.
 * @param stepRecords the list of that name in the JSON of ListStepRecords, all pages joined
 * @param run the run's JSON from GetRun in the full view, read no later than the records; without it, missing records
 * at the end of a run that has not ended cannot be detected
 */
export function verifyLedger(stepRecords: unknown, run?: unknown, known: Known = {}): Verification {
  const problems: string[] = [];
  const notes: string[] = [];
  const checked = { erased: 0, stateChecked: false, endChecked: false, workflowChecked: false };
  if (!Array.isArray(stepRecords) || stepRecords.length === 0) {
    return { verdict: "broken", ok: false, records: 0, problems: ["there are no records"], notes, ...checked };
  }
  const shownRun = run as Shown | undefined;
  const runSeq = shownRun === undefined ? undefined : Number(shownRun["seq"] ?? 0);
  if (runSeq !== undefined && !(Number.isInteger(runSeq) && runSeq >= 1)) problems.push("the run has no seq");
  const chain: Chain = { seq: 0, previousHash: "0".repeat(64), time: "", ended: false };
  if (known.tenantId !== undefined) chain.tenantId = known.tenantId;
  const runId = known.runId ?? (shownRun?.["runId"] as Json | undefined);
  if (runId !== undefined) chain.runId = runId;
  let state: FoldedState | undefined;
  let canFold = true;
  let stateChecked = false;
  for (const [index, record] of (stepRecords as ShownRecord[]).entries()) {
    const at = `record ${index + 1}`;
    const report = (problem: string) => problems.push(`${at}: ${problem}`);
    try {
      const header = checkHeader(record, chain, report);
      if (header === undefined) {
        canFold = false;
        continue;
      }
      const parts = checkParts(record.proof!, header, report);
      if (parts.bodyErased) notes.push(`${at}: its body was erased`);
      if (parts.givenErased) notes.push(`${at}: what was given was erased`);
      checked.erased += Number(parts.bodyErased) + Number(parts.givenErased);
      for (const name of parts.unknown) notes.push(`${at}: the part ${text(name)} is not known`);
      const isKnown = KINDS.has(header["kind"] as string);
      if (!isKnown) notes.push(`${at}: the kind ${text(header["kind"])} is not known`);
      checkOrder(header, chain, report);
      if (!isKnown || parts.body === undefined || parts.givenErased) canFold = false;
      if (!canFold) continue;
      checkKeys(header, parts, report);
      checkIds(header, parts.body!, state?.calls ?? [], report);
      state = apply(state, header, parts.body!, parts.given);
    } catch (error) {
      if (error instanceof UnknownOperation) notes.push(`${at}: ${error.message}`);
      else report(error instanceof Error ? error.message : String(error));
      canFold = false;
    }
    if (known.head?.seq === index + 1) {
      checked.endChecked = index + 1 === stepRecords.length;
      if (chain.previousHash !== known.head.hash) problems.push(`${at}: its hash is not the one that was kept`);
    }
    if (canFold && index + 1 === runSeq) {
      stateChecked = true;
      for (const difference of differences(state!, shownRun!)) problems.push(`the run's ${difference}`);
    }
  }
  for (const seq of [runSeq, known.head?.seq]) {
    if (seq === undefined || stepRecords.length >= seq) continue;
    problems.push(`the run has ${seq} records, ${stepRecords.length} are here: the end of the ledger is missing`);
  }
  if (runSeq === undefined) stateChecked = canFold;
  if (canFold && state!.calls.length > 0 && state!.calls.every((call) => call["outcome"] !== undefined)) {
    problems.push("the last call has settled, and the record that ends its step is missing");
  }
  const endChecked = checked.endChecked || runSeq !== undefined || chain.ended;
  if (!endChecked) notes.push("the run has not ended, and nothing tells how many records it has");
  if (known.workflow !== undefined) {
    const digest = workflowDigest(known.workflow as Json);
    if (digest !== chain.workflow) problems.push(`the graph's digest is ${digest}, not ${text(chain.workflow)}`);
  }
  const verdict = problems.length > 0 ? "broken" : notes.length > 0 || !stateChecked ? "unfinished" : "whole";
  return {
    verdict,
    ok: verdict === "whole",
    records: stepRecords.length,
    problems,
    notes,
    ...checked,
    endChecked,
    stateChecked,
    workflowChecked: known.workflow !== undefined,
    headHash: chain.previousHash,
    ...(canFold && state !== undefined ? { state } : {}),
  };
}

// ── The chain ────────────────────────────────────────────────────────────────────────────────────────────────────────

type Header = { [key: string]: Json };
type Chain = {
  seq: number;
  previousHash: string;
  time: string;
  ended: boolean;
  tenantId?: Json | undefined;
  runId?: Json | undefined;
  /** The digest of the graph, from the first record. */
  workflow?: Json | undefined;
};
type Report = (problem: string) => unknown;

const ENDS = new Set(["run.completed", "run.failed", "run.cancelled"]);
/** Kinds of later releases that let a run go on after its end. */
const AFTER_END = new Set(["run.retried", "run.restored"]);
const KINDS = new Set([
  "run.started",
  "run.resumed",
  "run.paused",
  "run.unpaused",
  "run.cancel_requested",
  ...ENDS,
  "step.started",
  "step.waiting",
  "step.completed",
  "step.failed",
  "call.completed",
  "call.failed",
  "call.retrying",
]);

/** What the record shows besides its proof, and the header's key for it. */
const SHOWN: readonly [shown: string, key: string, absent: Json][] = [
  ["runId", "run_id", ""],
  ["seq", "seq", 0],
  ["kind", "kind", ""],
  ["nodeId", "node_id", ""],
  ["attempt", "attempt", 0],
  ["epoch", "epoch", 0],
  ["actorId", "actor_id", ""],
  ["idempotencyKey", "idempotency_key", ""],
  ["workflowDigest", "workflow", ""],
];

function checkHeader(record: ShownRecord, chain: Chain, report: Report): Header | undefined {
  const headerText = record.proof?.headerJson;
  if (typeof headerText !== "string" || headerText === "") {
    report("it has no proof");
    return undefined;
  }
  const hash = sha256("abstractruntime/step-record/v1\0", headerText);
  if (record["hash"] !== hash) report(`its header's hash is ${hash}, not ${text(record["hash"])}`);
  const previousHash = chain.previousHash;
  chain.previousHash = hash;
  chain.seq += 1;
  const header = parseJson(headerText);
  if (!isObject(header)) throw new Error("its header is not an object");
  if (header["v"] !== 1) report(`its format is version ${text(header["v"])}, not 1`);
  checkForm(header, headerText, report);
  if (chain.seq === 1) chain.workflow = header["workflow"];
  if (header["prev"] !== previousHash) report("its prev is not the hash of the record before it");
  if (header["seq"] !== chain.seq) report(`its seq is ${text(header["seq"])}: the ledger has a gap, or was reordered`);
  chain.tenantId ??= header["tenant_id"];
  chain.runId ??= header["run_id"];
  if (header["tenant_id"] !== chain.tenantId) report(`it belongs to the tenant ${text(header["tenant_id"])}`);
  if (header["run_id"] !== chain.runId) report(`it belongs to the run ${text(header["run_id"])}`);
  const time = header["time"];
  if (typeof time !== "string" || !isTime(time)) {
    report(`its time ${text(time)} is not UTC with microseconds`);
  } else {
    if (time < chain.time) report("its time is before that of the record before it");
    chain.time = time;
    if (record["time"] !== undefined && micros(record["time"]) !== time) {
      report("the time that it shows is not that of its header");
    }
  }
  for (const [shown, key, absent] of SHOWN) {
    if ((record[shown] ?? absent) !== (header[key] ?? absent)) report(`the ${shown} that it shows is not its header's`);
  }
  return header;
}

/** The keys of a header, in their order, and what a value of each is. */
const HEADER_KEYS: readonly [key: string, isValid: (value: Json) => boolean, isRequired?: true][] = [
  ["v", isCount, true],
  ["tenant_id", isId, true],
  ["run_id", isId, true],
  ["seq", isCount, true],
  ["time", isId, true],
  ["kind", isId, true],
  ["node_id", isId],
  ["attempt", isCount],
  ["epoch", isCount],
  ["actor_id", isId],
  ["idempotency_key", (value) => typeof value === "string" && /^[a-z2-7]{52}$/.test(value)],
  ["workflow", isDigest],
  ["parts", (value) => isObject(value) && Object.values(value).every(isDigest), true],
  ["prev", isDigest, true],
];

/** A header has one form. Another one with the same meaning would be another record with another hash. */
function checkForm(header: Header, headerText: string, report: Report): void {
  for (const [key, isValid, isRequired] of HEADER_KEYS) {
    const value = header[key];
    if (value === undefined ? isRequired === true : !isValid(value)) report(`its header's ${key} is ${text(value)}`);
  }
  const known = Object.keys(header).filter((key) => HEADER_KEYS.some(([name]) => name === key));
  const inOrder = HEADER_KEYS.map(([name]) => name).filter((name) => known.includes(name));
  const isOneForm = JSON.stringify(header) === headerText && known.join() === inOrder.join();
  if (!isOneForm) report("its header is not in the form that the format gives it");
}

function isCount(value: Json): boolean {
  return Number.isInteger(value) && (value as number) >= 1;
}

function isId(value: Json): boolean {
  return typeof value === "string" && value !== "";
}

function isDigest(value: Json): boolean {
  return typeof value === "string" && /^[0-9a-f]{64}$/.test(value);
}

/** Whether it is a time of the calendar in the one form that the format has. */
function isTime(time: string): boolean {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/.test(time)) return false;
  const millis = `${time.slice(0, 23)}Z`;
  const at = new Date(millis);
  return !Number.isNaN(at.getTime()) && at.toISOString() === millis;
}

/** The digest of a graph: over everything that affects how its runs behave. */
function workflowDigest(workflow: Json): string {
  if (!isObject(workflow)) throw new Error("the graph is not an object");
  const notDigested = new Set([
    "version",
    "digest",
    "description",
    "labels",
    "current",
    "archived",
    "createTime",
    "damage",
  ]);
  const digested = Object.entries(workflow).filter(([name]) => !notDigested.has(name));
  return sha256(canonical(Object.fromEntries(digested)));
}

/** RFC 8785. JSON.stringify writes numbers and strings in its form already, and sorts by UTF-16 units as it does. */
function canonical(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (!isObject(value)) return JSON.stringify(value);
  const members = Object.keys(value).toSorted((a, b) => (a < b ? -1 : 1));
  return `{${members.map((name) => `${JSON.stringify(name)}:${canonical(value[name]!)}`).join(",")}}`;
}

function checkOrder(header: Header, chain: Chain, report: Report): void {
  const isStart = header["kind"] === "run.started";
  const isFirst = chain.seq === 1;
  if (isStart !== isFirst) report("run.started is the first record and only the first");
  if ((header["workflow"] !== undefined) !== isFirst) report("the first record, and no other, names the workflow");
  const kind = header["kind"] as string;
  if (chain.ended && !AFTER_END.has(kind)) report("it comes after the run's end");
  if (ENDS.has(kind)) chain.ended = true;
  else if (AFTER_END.has(kind)) chain.ended = false;
}

type Parts = { body?: JsonObject; given?: Json; bodyErased: boolean; givenErased: boolean; unknown: string[] };

function checkParts(proof: ShownProof, header: Header, report: Report): Parts {
  const digests = header["parts"];
  if (!isObject(digests) || typeof digests["body"] !== "string") throw new Error("its header has no digest of a body");
  const bytesByPart: Record<string, Uint8Array | undefined> = {
    body: proof.bodyJson ? Buffer.from(proof.bodyJson) : undefined,
    given: proof.given === undefined ? undefined : base64(proof.given),
  };
  const parts: Parts = {
    bodyErased: bytesByPart["body"] === undefined,
    givenErased: digests["given"] !== undefined && bytesByPart["given"] === undefined,
    unknown: Object.keys(digests).filter((name) => !Object.hasOwn(bytesByPart, name)),
  };
  for (const [name, bytes] of Object.entries(bytesByPart)) {
    if (bytes === undefined) continue;
    if (digests[name] === undefined) {
      report(`it shows a part ${name} that its header does not have`);
      continue;
    }
    const salt = base64(proof.salts?.[name] ?? "");
    if (salt.length !== 16) report(`the salt of its part ${name} is not 16 bytes`);
    const digest = sha256("abstractruntime/part/v1\0", salt, bytes);
    if (digest !== digests[name]) {
      report(`its part ${name} is not what its header has the digest of`);
      continue;
    }
    const value = parseJson(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
    if (name === "given") parts.given = value;
    else if (isObject(value)) parts.body = value;
    else report("its body is not an object");
  }
  return parts;
}

/** Whether a record states one effect, whose key its header has. Tool calls have keys of their own. */
function isOneEffect(header: Header, body: JsonObject): boolean {
  const effect = body["effect"] as JsonObject | undefined;
  if (effect === undefined || body["calls"] !== undefined) return false;
  // Without a call there is no key; the question whether to make calls has one.
  return effect["type"] !== "tool_calls" || header["kind"] === "step.waiting";
}

/** The keys that the body of each kind must have. */
const REQUIRED_KEYS: Readonly<Record<string, readonly string[]>> = {
  "run.started": ["start", "patch"],
  "run.cancel_requested": ["to", "deadline_time"],
  "step.started": ["status", "effect", "calls"],
  "step.waiting": ["status", "effect", "wait"],
  "step.completed": ["status"],
  "step.failed": ["status", "error", "to"],
  "call.completed": ["status", "call"],
  "call.failed": ["status", "call", "error"],
  "call.retrying": ["status", "call", "error"],
  "run.completed": ["status", "output"],
  "run.failed": ["error"],
};

function checkKeys(header: Header, { body, given }: Parts, report: Report): void {
  const kind = header["kind"] as string;
  for (const key of REQUIRED_KEYS[kind] ?? []) if (body![key] === undefined) report(`its body has no ${key}`);
  if (kind === "call.completed" && given === undefined) report("it has no output");
}

/**
 * Checks ids that can be computed from the ledger: an effect's key and a wait's id are derived from where they are.
 * Records about a call have the call's key.
 * @param inFlight the calls of the state before the record
 */
function checkIds(header: Header, body: JsonObject, inFlight: readonly JsonObject[], report: Report): void {
  const place = [header["tenant_id"], header["run_id"], header["epoch"] ?? 0] as (string | number)[];
  const seq = header["seq"] as number;
  const nodeId = header["node_id"] as string;
  const keyOf = (ordinal: number) => base32(digestParts([...place, nodeId, seq, ordinal]));
  const key = header["idempotency_key"];
  const change = body["call"] as JsonObject | undefined;
  if (change !== undefined) {
    const call = inFlight.find((one) => one["ordinal"] === change["ordinal"]);
    if (call === undefined) report(`there is no call ${text(change["ordinal"])} that it could be about`);
    else {
      if (call["outcome"] !== undefined) report(`its call ${text(change["ordinal"])} has come back before`);
      if (key !== call["idempotency_key"]) report("its idempotency_key is not that of its call");
      if (header["attempt"] !== (call["attempt"] ?? 1)) report("its attempt is not the one that was under way");
    }
  } else if (isOneEffect(header, body)) {
    if (key !== keyOf(0)) report("its idempotency_key is not that of its place");
  } else if (key !== undefined) {
    // The end of a custom effect, and of a handler that failed, is the end of its one call.
    const [call] = inFlight;
    if (call === undefined || call["kind"] === "tool" || key !== call["idempotency_key"]) {
      report("its idempotency_key is not that of its place");
    } else if (header["attempt"] !== (call["attempt"] ?? 1)) {
      report("its attempt is not the one that was under way");
    }
  }
  for (const [ordinal, call] of ((body["calls"] ?? []) as JsonObject[]).entries()) {
    if (call["ordinal"] !== ordinal) report(`its call ${ordinal} has the ordinal ${text(call["ordinal"])}`);
    if (call["idempotency_key"] !== keyOf(ordinal)) report(`the key of its call ${ordinal} is not that of its place`);
  }
  const wait = body["wait"] as JsonObject | undefined;
  if (wait !== undefined && wait["wait_id"] !== base32(digestParts(["wait", ...place, seq])).slice(0, 26)) {
    report("its wait_id is not that of its place");
  }
}

// ── The fold ─────────────────────────────────────────────────────────────────────────────────────────────────────────

export type FoldedState = {
  status: string;
  paused: boolean;
  node: string;
  vars: Json;
  steps: number;
  epoch: number;
  cancelling: boolean;
  wait?: JsonObject | undefined;
  calls: JsonObject[];
  sequel?: JsonObject | undefined;
  cursors: JsonObject[];
  deadlineTime?: Json | undefined;
  output?: Json | undefined;
  error?: Json | undefined;
  start: JsonObject;
  digest?: Json | undefined;
  actorId?: Json | undefined;
  createTime: string;
  updateTime: string;
  endTime?: string;
};

function apply(
  before: FoldedState | undefined,
  header: Header,
  body: JsonObject,
  given: Json | undefined,
): FoldedState {
  const kind = header["kind"] as string;
  const time = header["time"] as string;
  const epoch = (header["epoch"] ?? 0) as number;
  const wait = body["wait"] as JsonObject | undefined;
  if (before === undefined) {
    const start = body["start"] as JsonObject;
    return {
      status: wait === undefined ? "running" : "waiting",
      paused: body["paused"] === true,
      node: start["entry_node"] as string,
      vars: patched({}, body["patch"] as Operation[] | undefined, { given }),
      steps: 0,
      epoch,
      cancelling: false,
      wait,
      calls: [],
      cursors: [],
      deadlineTime: body["deadline_time"],
      start,
      digest: header["workflow"],
      actorId: header["actor_id"],
      createTime: time,
      updateTime: time,
    };
  }
  const state: FoldedState = { ...before, epoch, updateTime: time };
  const calls = callResults(before.calls);
  const result =
    body["result"] === undefined ? undefined : patched(null, body["result"] as Operation[], { given, calls });
  state.vars = patched(before.vars, body["patch"] as Operation[] | undefined, { given, result });
  const ends = ENDS.has(kind);
  if (kind === "step.completed" || kind === "step.failed" || (ends && body["status"] !== undefined)) state.steps += 1;
  const change = body["call"] as JsonObject | undefined;
  if (change !== undefined) {
    state.calls = before.calls.map((call) =>
      call["ordinal"] === change["ordinal"] ? callAfter(call, header, body, given) : call,
    );
  } else if (kind !== "run.paused" && kind !== "run.unpaused") {
    state.wait = wait;
    state.calls = (body["calls"] ?? []) as JsonObject[];
    state.sequel = body["sequel"] as JsonObject | undefined;
  }
  state.status = ends ? kind.slice("run.".length) : state.wait === undefined ? "running" : "waiting";
  if (ends) {
    state.paused = false;
    state.endTime = time;
  } else if (kind === "run.paused") state.paused = true;
  else if (kind === "run.unpaused") state.paused = false;
  else if (kind === "run.cancel_requested") {
    state.paused = false;
    state.cancelling = true;
  }
  if (body["to"] !== undefined) state.node = body["to"] as string;
  if (body["error"] !== undefined && change === undefined) state.error = body["error"];
  if (body["deadline_time"] !== undefined) state.deadlineTime = body["deadline_time"];
  const output = body["output"] as JsonObject | undefined;
  if (output !== undefined) state.output = output["of"] === "result" ? result : output["value"];
  for (const cursor of (body["cursors"] ?? []) as JsonObject[]) {
    const isOther = (other: JsonObject) => ["scope", "name", "key"].some((field) => other[field] !== cursor[field]);
    state.cursors = [...state.cursors.filter(isOther), cursor];
  }
  return state;
}

/** A call after a record about it: it has a result, or waits for its next attempt. */
function callAfter(call: JsonObject, header: Header, body: JsonObject, given: Json | undefined): JsonObject {
  const { retry_time: _retryTime, ...rest } = call;
  const { kind } = header;
  const seq = header["seq"] as number;
  switch (kind) {
    case "call.completed":
      return { ...rest, outcome: { output: given!, seq } };
    case "call.failed":
      return { ...rest, outcome: { error: body["error"]! } };
    default: {
      const { next_attempt: attempt, retry_time: retryTime } = body["call"] as JsonObject;
      return { ...rest, attempt: attempt!, retry_time: retryTime! };
    }
  }
}

/** The results of an effect's calls, in order: the source `calls` of patches. */
function callResults(calls: readonly JsonObject[]): Json {
  return calls.map((call) => {
    const outcome = call["outcome"] as JsonObject | undefined;
    const output = outcome?.["output"];
    return {
      call_id: call["call_id"] ?? null,
      name: call["name"]!,
      success: output !== undefined,
      output: output ?? null,
      error: outcome?.["error"] ?? null,
    };
  });
}

type Operation = { op: string; path: string; value?: Json; values?: Json[]; of?: keyof Sources; at?: string };
/** An operation or a source of a later release: its effect is not known, but the ledger is not at fault. */
class UnknownOperation extends Error {}

/** What operations with `of` copy from. */
type Sources = { given?: Json | undefined; result?: Json | undefined; calls?: Json | undefined };
const SOURCES = new Set(["given", "result", "calls"]);

/** A copy of `root` after the operations, one after the other. */
function patched(root: Json, operations: readonly Operation[] | undefined, sources: Sources): Json {
  let document = structuredClone(root);
  for (const operation of operations ?? []) {
    const steps = pointerSteps(operation.path);
    const last = steps.pop();
    const taken = () => (operation.of === undefined ? undefined : structuredClone(partOf(sources, operation)));
    switch (operation.op) {
      case "set": {
        if ((operation.of === undefined) === (operation.value === undefined)) throw new Error("a set of nothing");
        const value = operation.of === undefined ? structuredClone(operation.value!) : taken()!;
        if (last === undefined) document = value;
        else {
          const parent = parentOf(document, steps, true)!;
          if (Array.isArray(parent)) parent[existing(parent, last)] = value;
          else parent[last] = value;
        }
        break;
      }
      case "append": {
        const values = operation.of === undefined ? structuredClone(operation.values) : taken();
        if (!Array.isArray(values)) throw new Error("an append of what is no list");
        if (last === undefined) {
          if (!Array.isArray(document)) throw new Error("an append to a document that is no list");
          document.push(...values);
          break;
        }
        const parent = parentOf(document, steps, true)!;
        const key = Array.isArray(parent) ? existing(parent, last) : last;
        const list = Reflect.get(parent, key) as Json | undefined;
        if (list === undefined) Reflect.set(parent, key, values);
        else if (Array.isArray(list)) list.push(...values);
        else throw new Error(`an append to what is no list, at ${operation.path}`);
        break;
      }
      case "unset": {
        if (last === undefined) throw new Error("an unset of the whole document");
        const parent = parentOf(document, steps, false);
        if (Array.isArray(parent)) {
          if (!INDEX.test(last)) throw new Error(`${text(last)} is no index of a list`);
          if (Number(last) < parent.length) parent.splice(Number(last), 1);
        } else if (parent !== undefined) Reflect.deleteProperty(parent, last);
        break;
      }
      default:
        throw new UnknownOperation(`the operation ${text(operation.op)} is not known`);
    }
  }
  return document;
}

/** The object or list that contains what the steps lead to. Missing objects on the way are created on request. */
function parentOf(document: Json, steps: readonly string[], make: boolean): Json[] | JsonObject | undefined {
  let parent = document;
  for (const step of steps) {
    if (Array.isArray(parent)) {
      if (!make && Number(step) >= parent.length) return undefined;
      parent = parent[existing(parent, step)]!;
    } else {
      if (!isObject(parent)) break;
      if (!Object.hasOwn(parent, step)) {
        if (!make) return undefined;
        parent[step] = Object.create(null) as JsonObject;
      }
      parent = parent[step]!;
    }
  }
  if (Array.isArray(parent) || isObject(parent)) return parent;
  if (make) throw new Error("a path that leads through a scalar");
  return undefined;
}

const INDEX = /^(0|[1-9]\d*)$/;

function existing(list: readonly Json[], step: string): number {
  const index = INDEX.test(step) ? Number(step) : Infinity;
  if (index >= list.length) throw new Error(`no element ${step} in a list of ${list.length}`);
  return index;
}

function partOf(sources: Sources, { of, at }: Operation): Json {
  if (!SOURCES.has(of!)) throw new UnknownOperation(`the source ${text(of)} is not known`);
  let value = sources[of!];
  for (const step of pointerSteps(at ?? "")) {
    value = Array.isArray(value) ? value[existing(value, step)] : isObject(value) ? value[step] : undefined;
  }
  if (value === undefined) throw new Error(`nothing at ${at ?? "the root"} of what was ${of}`);
  return value;
}

function pointerSteps(pointer: string): string[] {
  const [root, ...steps] = pointer.split("/");
  if (root !== "") throw new Error(`a path ${pointer} that is no JSON Pointer`);
  if (/~(?![01])/.test(pointer)) throw new Error(`a path ${pointer} that is no JSON Pointer`);
  return steps.map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
}

// ── The run ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** How the fold differs from the run that GetRun returned. */
function differences(state: FoldedState, run: Shown): string[] {
  const { start } = state;
  const usage = run["usage"] as Shown | undefined;
  const waiting = run["waiting"] as Shown | undefined;
  const expected: [name: string, folded: unknown, shown: unknown][] = [
    ["workflowId", start["workflow_id"], run["workflowId"]],
    ["version", start["version"], run["version"]],
    ["sessionId", start["session_id"] ?? "", run["sessionId"] ?? ""],
    ["actorId", state.actorId ?? "", run["actorId"] ?? ""],
    ["parentRunId", start["parent_run_id"] ?? "", run["parentRunId"] ?? ""],
    ["rootRunId", start["root_run_id"], run["rootRunId"]],
    ["labels", start["labels"], run["labels"] ?? {}],
    ["status", `RUN_STATUS_${state.status.toUpperCase()}`, run["status"]],
    ["paused", state.paused, run["paused"] ?? false],
    ["currentNode", state.node, run["currentNode"]],
    ["vars", state.vars, run["vars"]],
    ["output", state.output, run["output"]],
    ["error", state.error === undefined ? undefined : shownFailure(state.error as JsonObject), run["error"]],
    ["waiting.waitId", state.wait?.["wait_id"], waiting?.["waitId"]],
    ["usage.steps", state.steps, usage?.["steps"] ?? 0],
    ["createTime", state.createTime, micros(run["createTime"])],
    ["updateTime", state.updateTime, micros(run["updateTime"])],
    ["endTime", state.endTime, micros(run["endTime"])],
  ];
  return expected.flatMap(([name, folded, shown]) =>
    sorted(folded) === sorted(shown) ? [] : [`${name} is ${sorted(shown)}, but its ledger says ${sorted(folded)}`],
  );
}

function shownFailure({ node_id: nodeId, retryable, ...rest }: JsonObject): Shown {
  return { ...rest, ...(nodeId === undefined ? {} : { nodeId }), ...(retryable === true ? { retryable } : {}) };
}

/** JSON text with sorted names, so that equal values have equal texts. */
function sorted(value: unknown): string {
  const sort = (_: string, member: unknown) =>
    isObject(member as Json)
      ? Object.fromEntries(Object.entries(member as JsonObject).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : member;
  return JSON.stringify(value, sort) ?? "absent";
}

/** A protobuf Timestamp's JSON, which omits zeros at the end, with all six digits. */
function micros(time: unknown): string | undefined {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z$/.exec(String(time));
  return match === null ? undefined : `${match[1]}.${(match[2] ?? "").padEnd(6, "0").slice(0, 6)}Z`;
}

// ── Bytes and texts ──────────────────────────────────────────────────────────────────────────────────────────────────

type Json = null | boolean | number | string | Json[] | JsonObject;
type JsonObject = { [key: string]: Json };

function sha256(...pieces: (string | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const piece of pieces) hash.update(piece);
  return hash.digest("hex");
}

/** SHA-256 over `length:text` of each part, the length in UTF-8 bytes. */
function digestParts(parts: readonly (string | number)[]): Uint8Array {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(`${Buffer.byteLength(String(part))}:${part}`);
  return hash.digest();
}

/** RFC 4648 base32, lower-case, without padding. */
function base32(bytes: Uint8Array): string {
  let bits = "";
  for (const byte of bytes) bits += byte.toString(2).padStart(8, "0");
  const groups = bits.match(/.{1,5}/g) ?? [];
  return groups.map((group) => "abcdefghijklmnopqrstuvwxyz234567"[parseInt(group.padEnd(5, "0"), 2)]).join("");
}

function base64(encoded: string): Uint8Array {
  const bytes = Buffer.from(encoded, "base64");
  if (bytes.toString("base64").replace(/=+$/, "") !== encoded.replace(/=+$/, "")) throw new Error("malformed base64");
  return bytes;
}

function isObject(value: Json | undefined): value is JsonObject {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

function text(value: unknown): string {
  return JSON.stringify(value) ?? "absent";
}

/** Reads JSON text. A name that occurs twice is refused, because readers differ in which of the two they use. */
function parseJson(source: string): Json {
  const value = JSON.parse(source) as Json;
  let at = 0;
  const skip = () => {
    while (" \t\n\r".includes(source[at] ?? "x")) at += 1;
  };
  const string = (): string => {
    const from = at;
    for (at += 1; source[at] !== '"'; at += 1) if (source[at] === "\\") at += 1;
    at += 1;
    return JSON.parse(source.slice(from, at)) as string;
  };
  // JSON.parse has accepted the text, so only its structure is left to check.
  const walk = (): void => {
    skip();
    if (source[at] === '"') string();
    else if (source[at] === "{" || source[at] === "[") {
      const isMap = source[at] === "{";
      const names = new Set<string>();
      at += 1;
      skip();
      while (source[at] !== "}" && source[at] !== "]") {
        if (isMap) {
          const name = string();
          if (names.has(name)) throw new Error(`the name ${JSON.stringify(name)} appears twice in an object`);
          names.add(name);
          skip();
          at += 1;
        }
        walk();
        skip();
        if (source[at] === ",") at += 1;
        skip();
      }
      at += 1;
    } else while (!",]} \t\n\r".includes(source[at] ?? " ")) at += 1;
  };
  walk();
  return value;
}

// ── The script ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Reads a run, its ledger and its graph by the Connect protocol, the run first: later changes are in the ledger. */
async function fetchLedger(
  server: string,
  runId: string,
): Promise<{ stepRecords: unknown[]; run: Shown; workflow: unknown }> {
  const call = async (method: string, request: object): Promise<Shown> => {
    const response = await fetch(`${server.replace(/\/$/, "")}/abstractruntime.v1.${method}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(request),
    });
    if (!response.ok) throw new Error(`${method}: ${response.status} ${await response.text()}`);
    return (await response.json()) as Shown;
  };
  const run = (await call("RuntimeService/GetRun", { runId }))["run"] as Shown;
  const stepRecords: unknown[] = [];
  let pageToken = "";
  do {
    const page = { runId, includeProof: true, pageSize: 1000, ...(pageToken === "" ? {} : { pageToken }) };
    const reply = await call("LedgerService/ListStepRecords", page);
    stepRecords.push(...((reply["stepRecords"] ?? []) as unknown[]));
    pageToken = (reply["nextPageToken"] ?? "") as string;
  } while (pageToken !== "");
  const version = { workflowId: run["workflowId"], version: run["version"] };
  const { workflow } = await call("RuntimeService/GetWorkflow", version);
  return { stepRecords, run, workflow };
}

const EXIT_CODES = { whole: 0, broken: 1, unfinished: 3 } as const satisfies Record<Verification["verdict"], number>;
/** Nothing is known of the ledger. */
const EXIT_UNREAD = 2;

async function main(args: readonly string[]): Promise<number> {
  const options = { server: { type: "string" }, tenant: { type: "string" }, head: { type: "string" } } as const;
  try {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
    const [runId, ...more] = positionals;
    const [seq, hash] = (values.head ?? "").split(":");
    if (values.server === undefined || runId === undefined || more.length > 0 || (seq !== "" && hash === undefined)) {
      throw new Error(
        "usage: node tests/verifier/verify-ledger.ts --server URL RUN_ID [--tenant ID] [--head SEQ:HASH]",
      );
    }
    const { stepRecords, run, workflow } = await fetchLedger(values.server, runId);
    const { state: _state, ...shown } = verifyLedger(stepRecords, run, {
      runId,
      workflow,
      ...(values.tenant === undefined ? {} : { tenantId: values.tenant }),
      ...(hash === undefined ? {} : { head: { seq: Number(seq), hash } }),
    });
    console.log(JSON.stringify(shown, null, 2));
    return EXIT_CODES[shown.verdict];
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    return EXIT_UNREAD;
  }
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
