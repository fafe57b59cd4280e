/**
 * A batch as one statement: `commit_batch_3` (migrations/0005_commit_batch_3.sql) with a JSON text for each kind of row. Sections
 * that a batch does not have are null. JSON, because encoding it costs Node a third of what array literals cost. What is JSON itself and
 * may be long (members of vars, parts of records) goes beside the rows in texts of its own, a line for each row, so that nobody escapes and
 * reads it as JSON in JSON: no JSON text that this program writes has a line break in it, and none is empty.
 */
import assert from "node:assert/strict";
import { type Channel, channelKey } from "../../core/event.ts";
import type { Batch, ItemOutcome, Transition } from "../contract/batch.ts";
import { commitErrorOf, isPlaceTaken, withTimeout } from "./errors.ts";
import { rowsParameter, type Sql } from "./client.ts";
import { bytesToHex, encodeStateRest, hexToBytea } from "./run-row.ts";

type Rows = object[];

/** A line that stands for nothing. */
const NO_TEXT = "";

type Sections = {
  channels: Rows;
  expected: Rows;
  moves: Rows;
  behind: Rows;
  starts: Rows;
  payloads: Rows;
  members: Rows;
  records: Rows;
  events: Rows;
  closings: Rows;
  waits: Rows;
  settlements: Rows;
  cancels: Rows;
  holds: Rows;
  jobs: Rows;
  readMail: Rows;
  mail: Rows;
  notices: Rows;
};

/** Texts beside rows: the values of `members`; and of `records` what is hashed. */
type Lines = { members: string[]; headers: string[]; bodies: string[]; givens: string[] };

/** A channel that a batch touches. `index` is its place in lock order, from 1, as SQL counts. */
type TouchedChannel = { channel: Channel; index: number; events: number };

/** Commits a batch. @throws as `Store.commit` */
export async function commit(sql: Sql, batch: Batch): Promise<ItemOutcome[]> {
  const { sections, lines } = sectionsOf(batch);
  const texts = Object.fromEntries(
    Object.entries(sections).map(([name, rows]) => [name, rows.length === 0 ? null : rowsParameter(rows)]),
  ) as Record<keyof Sections, string | null>;
  const linesOf = (texts: readonly string[]): string | null => (texts.length === 0 ? null : texts.join("\n"));
  const beside = {
    members: linesOf(lines.members),
    headers: linesOf(lines.headers),
    bodies: linesOf(lines.bodies),
    givens: linesOf(lines.givens),
  };
  const moveItems = `{${sections.moves.map((move) => (move as { item: number }).item).join()}}`;
  try {
    return outcomesOf(batch, await withTimeout(commitBatch(sql, batch, texts, { moveItems, beside })));
  } catch (error) {
    // Whoever has taken its place in the ledger was first. Of several items, the lane finds out which.
    if (batch.items.length === 1 && isPlaceTaken(error)) return [{ type: "conflict" }];
    throw commitErrorOf(error);
  }
}

type OutcomeRow = { item: number; outcome: "emitted" | "conflict" | "channel_moved"; number: number | null };

async function commitBatch(
  sql: Sql,
  { laneId, batchNo }: Batch,
  rows: Record<keyof Sections, string | null>,
  { moveItems, beside }: { moveItems: string; beside: Record<keyof Lines, string | null> },
): Promise<OutcomeRow[]> {
  return await sql<OutcomeRow[]>`
    select item, outcome, number from commit_batch_3(
      ${laneId}::bigint, ${batchNo}::bigint, ${rows.channels}::text::json, ${rows.expected}::text::json,
      ${rows.moves}::text::json, ${moveItems}::text::int[], ${rows.behind}::text::json, ${rows.starts}::text::json,
      ${rows.payloads}::text::json, ${rows.members}::text::json, ${beside.members}::text,
      ${rows.records}::text::json, ${beside.headers}::text, ${beside.bodies}::text, ${beside.givens}::text,
      ${rows.events}::text::json, ${rows.closings}::text::json, ${rows.waits}::text::json,
      ${rows.settlements}::text::json, ${rows.cancels}::text::json, ${rows.holds}::text::json, ${rows.jobs}::text::json,
      ${rows.readMail}::text::json, ${rows.mail}::text::json, ${rows.notices}::text::json
    )`;
}

/** What is not said to be otherwise is committed; a delivered event that got no number was a duplicate. */
function outcomesOf(batch: Batch, rows: OutcomeRow[]): ItemOutcome[] {
  const outcomes = batch.items.map<ItemOutcome>((item) =>
    item.type === "delivery" && item.delivery.type === "event" ? { type: "duplicate" } : { type: "committed" },
  );
  for (const { item, outcome, number } of rows) {
    if (outcome !== "emitted") outcomes[item] = { type: outcome };
    else if (batch.items[item]?.type === "delivery" && number !== null) outcomes[item] = { type: "committed", number };
  }
  return outcomes;
}

function sectionsOf(batch: Batch): { sections: Sections; lines: Lines } {
  const lines: Lines = { members: [], headers: [], bodies: [], givens: [] };
  const sections: Sections = {
    channels: [],
    expected: [],
    moves: [],
    behind: [],
    starts: [],
    payloads: [],
    members: [],
    records: [],
    events: [],
    closings: [],
    waits: [],
    settlements: [],
    cancels: [],
    holds: [],
    jobs: [],
    readMail: [],
    mail: [],
    notices: [],
  };
  const channels = touchedChannels(batch);
  for (const [item, entry] of batch.items.entries()) {
    if (entry.type === "transition") {
      addTransition(sections, item, entry.transition);
      addRecords(sections, lines, item, entry.transition);
      addMembers(sections, lines, item, entry.transition);
      addEvents(sections, channels, item, entry.transition.events);
      const expected = entry.transition.expectChannel;
      if (expected !== undefined) {
        const { index } = touched(channels, expected.channel);
        sections.expected.push({ item, channel: index, up_to: expected.upTo });
      }
    } else if (entry.delivery.type === "event") {
      addEvents(sections, channels, item, [entry.delivery.event]);
    } else {
      const { tenantId, runId, mail } = entry.delivery;
      const { kind, actorId, reason } = mail;
      sections.mail.push({ item, tenant_id: tenantId, run_id: runId, kind, actor_id: actorId, reason });
    }
  }
  for (const { channel, index, events } of channels.values()) {
    const { tenantId, scope, scopeId } = channel;
    sections.channels.push({ tenant_id: tenantId, scope, scope_id: scopeId, events, position: index });
  }
  return { sections, lines };
}

/** Every channel of a batch, in the order in which all servers lock channels. Its events are counted while they are added. */
function touchedChannels(batch: Batch): Map<string, TouchedChannel> {
  const channels = new Map<string, Channel>();
  const touch = (channel: Channel): unknown => channels.set(channelKey(channel), channel);
  for (const item of batch.items) {
    if (item.type === "transition") {
      item.transition.events.forEach(touch);
      if (item.transition.expectChannel !== undefined) touch(item.transition.expectChannel.channel);
    } else if (item.delivery.type === "event") {
      touch(item.delivery.event);
    }
  }
  const inLockOrder = [...channels].toSorted(([a], [b]) => (a < b ? -1 : 1));
  return new Map(inLockOrder.map(([key, channel], place) => [key, { channel, index: place + 1, events: 0 }]));
}

function touched(channels: ReadonlyMap<string, TouchedChannel>, channel: Channel): TouchedChannel {
  const entry = channels.get(channelKey(channel));
  assert(entry !== undefined);
  return entry;
}

function addEvents(
  { events }: Sections,
  channels: ReadonlyMap<string, TouchedChannel>,
  item: number,
  drafts: Transition["events"],
): void {
  for (const draft of drafts) {
    const entry = touched(channels, draft);
    entry.events += 1;
    events.push({
      item,
      channel: entry.index,
      position: entry.events,
      event_id: draft.eventId,
      name: draft.name,
      key: draft.key,
      payload: JSON.stringify(draft.payload),
      emit_time: draft.emitTime,
      actor_id: draft.actorId,
    });
  }
}

function addTransition(sections: Sections, item: number, transition: Transition): void {
  const { tenantId: tenant_id, runId: run_id, closeWait, openWait } = transition;
  const key = { item, tenant_id, run_id };
  addRun(sections, item, transition);
  for (const [ordinal, notice] of transition.notices.entries()) {
    // An item has far fewer notices than this, so ordinals rise through the batch.
    sections.notices.push({ ...key, ordinal: item * NOTICES_PER_ITEM_MAX + ordinal, ...notice });
  }
  if (closeWait !== undefined) {
    sections.closings.push({
      ...key,
      wait_id: closeWait.waitId,
      close_time: closeWait.closeTime,
      closed_by: closeWait.by,
      run_seq: closeWait.runSeq,
      request_id: closeWait.requestId,
      actor_id: closeWait.actorId,
    });
  }
  if (openWait !== undefined) {
    const { seq, ...wait } = openWait;
    const { wait_id, reason, create_time, names, scope, scope_id, key: waitKey, assignees } = wait;
    const body = JSON.stringify(wait);
    sections.waits.push({
      ...key,
      wait_id,
      reason,
      seq,
      create_time,
      names,
      scope,
      scope_id,
      key: waitKey,
      assignees,
      body,
    });
  }
  addJobs(sections, key, transition);
  for (const mailId of transition.consumedMail) sections.readMail.push({ ...key, mail_id: mailId });
}

function addJobs(
  sections: Sections,
  key: { item: number; tenant_id: string; run_id: string },
  transition: Transition,
): void {
  const { after, holdJobs } = transition;
  for (const { idempotencyKey, leaseNo, onlyOpen, digest, retry } of transition.settledJobs) {
    sections.settlements.push({
      ...key,
      idempotency_key: idempotencyKey,
      lease_no: leaseNo,
      only_open: onlyOpen === true,
      digest: digest === undefined ? undefined : hexToBytea(digest),
      retry_attempt: retry?.attempt,
      due_at: retry?.dueTime,
    });
  }
  if (transition.cancelJobs) sections.cancels.push(key);
  if (holdJobs !== undefined) sections.holds.push({ ...key, held: holdJobs });
  for (const job of transition.jobs) {
    const { lease, dueTime } = job;
    sections.jobs.push({
      ...key,
      place: sections.jobs.length,
      idempotency_key: job.idempotency_key,
      seq: job.seq,
      node_id: job.nodeId,
      kind: job.kind,
      name: job.name,
      ordinal: job.ordinal,
      call_id: job.call_id,
      payload: JSON.stringify(job.payload),
      state: lease !== undefined ? "leased" : dueTime !== undefined ? "delayed" : "open",
      fairness_key: job.fairnessKey,
      held: holdJobs ?? after.state.paused,
      due_at: dueTime,
      lease_server: lease?.serverId,
      worker_session: lease?.workerSessionId,
      losses: job.losses ?? 0,
      attempt: job.attempt ?? 1,
      timeout_ms: job.timeoutMs,
      heartbeat_timeout_ms: job.heartbeatTimeoutMs,
      queue_timeout_ms: job.queueTimeoutMs,
      delivery: job.delivery,
    });
  }
}

/** A transition is at most 64 records, of which few are worth a notice. */
const NOTICES_PER_ITEM_MAX = 1_000;

function addRun(sections: Sections, item: number, transition: Transition): void {
  const { after, rowSeq, expectedSeq, wakeTime } = transition;
  const { state } = after;
  const key = { item, tenant_id: state.tenantId, run_id: state.runId };
  if (after.behind !== undefined) {
    sections.behind.push({ ...key, expected_seq: expectedSeq });
    return;
  }
  const changing = {
    ...key,
    status: state.status,
    paused: state.paused,
    node: state.node,
    seq: state.seq,
    head_hash: hexToBytea(after.headHash),
    wait_reason: state.wait?.reason,
    owner_lane: after.ownerLane,
    wake_at: wakeTime,
    update_time: state.updateTime,
    end_time: state.endTime,
    format: after.format,
    state: encodeStateRest(state),
  };
  if (rowSeq === 0) {
    sections.starts.push({
      ...changing,
      workflow_id: state.workflowId,
      version: state.version,
      create_time: state.createTime,
      session_id: state.sessionId,
      actor_id: state.actorId,
      parent_run_id: state.parentRunId,
      root_run_id: state.rootRunId,
      labels: state.labels,
      request_digest: hexToBytea(after.requestDigest),
    });
  } else {
    sections.moves.push({ ...changing, row_seq: rowSeq, expected_seq: expectedSeq });
  }
  const { vars, outputChanged } = transition;
  assert(vars !== undefined || rowSeq > 0, "a new run's vars are written");
  if (vars !== undefined || outputChanged) {
    // No JSON text is empty: the empty text takes a stored output away.
    const output = state.output === undefined ? "" : JSON.stringify(state.output);
    sections.payloads.push({
      ...key,
      ...(vars === undefined ? {} : "rest" in vars ? { vars_rest: vars.rest } : { vars: vars.whole }),
      ...(outputChanged ? { output } : {}),
    });
  }
}

function addRecords(
  { records }: Sections,
  lines: Lines,
  item: number,
  { tenantId, runId, records: sealed }: Transition,
): void {
  for (const { seq, header, hash, body, bodySalt, given, givenSalt } of sealed) {
    records.push({
      item,
      tenant_id: tenantId,
      run_id: runId,
      seq,
      hash: hexToBytea(hash),
      body_salt: bytesToHex(bodySalt),
      given_salt: givenSalt === undefined ? undefined : bytesToHex(givenSalt),
    });
    lines.headers.push(header);
    lines.bodies.push(body);
    lines.givens.push(given ?? NO_TEXT);
  }
}

function addMembers({ members }: Sections, lines: Lines, item: number, { tenantId, runId, vars }: Transition): void {
  if (vars === undefined) return;
  const key = { item, tenant_id: tenantId, run_id: runId };
  for (const name of vars.dropped) {
    members.push({ ...key, name });
    lines.members.push(NO_TEXT);
  }
  if (!("rest" in vars)) return;
  for (const [name, text] of vars.changed) {
    members.push({ ...key, name });
    lines.members.push(text);
  }
}
