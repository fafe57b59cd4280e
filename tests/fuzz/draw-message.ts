/** Draws messages of the contract from its descriptors, as JSON: of the right shape, and with values that mean
 *  something. */
import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import type { Json, JsonObject } from "../../server/src/core/json/json.ts";
import type { Random } from "../simulation/random.ts";

/** Texts that fields have, or must not have. */
export type Words = readonly string[];

/** Texts that no field should have, and what they are made of. */
const BAD_TEXTS = [
  "",
  " ",
  "\0",
  "a\0b",
  "\ud800",
  "\udfffx",
  "\ufeff",
  "\uffff",
  "e\u0301",
  "../../etc/passwd",
  "%00%0d%0a",
  "line\r\nx-header: 1",
  "'; drop table runs; --",
  "${vars",
  "${".repeat(50),
  "__proto__",
  "constructor",
  "-1",
  "1e400",
  "(".repeat(300),
  "^(a+)+$",
];
const NUMBERS = [0, 1, 2, 5, -1, 1_000, 1_001, 2 ** 31 - 1, 2 ** 31, -(2 ** 31), 2 ** 53, 0.5, 1e308, -0];
const SMALL_NUMBERS = [0, 1, 2, 5];
const INT64_TEXTS = ["0", "-1", "9223372036854775807", "9223372036854775808", "18446744073709551615", "1.0", "0x10"];
const TIMES = [
  "2026-12-24T18:00:00Z",
  "0001-01-01T00:00:00Z",
  "9999-12-31T23:59:59.999999999Z",
  "2026-02-30T00:00:00Z",
  "x",
];
const DURATIONS = ["0s", "0.01s", "1s", "-1s", "315576000000s", "315576000001s", "1", "0.0000000001s"];

/** How deep messages of messages go. */
const DEPTH_MAX = 6;

export function drawText(random: Random, words: Words): string {
  const choice = random.below(100);
  if (choice < 84) return random.pick(words);
  if (choice < 94) return random.pick(BAD_TEXTS);
  if (choice < 98) return random.pick(words) + random.pick(BAD_TEXTS);
  return "x".repeat(random.pick([128, 129, 1_024, 1_025, 4_097, 70_000]));
}

/** Draws any JSON. */
function drawJson(random: Random, words: Words, depth = 0): Json {
  const choice = random.below(depth > 4 ? 5 : 8);
  switch (choice) {
    case 0:
      return null;
    case 1:
      return random.percent(50);
    case 2:
      return random.pick(NUMBERS);
    case 3:
    case 4:
      return drawText(random, words);
    case 5:
      return Array.from({ length: random.below(4) }, () => drawJson(random, words, depth + 1));
    case 6: {
      // Deeper than is allowed.
      let nested: Json = drawText(random, words);
      for (let level = random.percent(10) ? random.pick([33, 60, 900]) : 2; level > 0; level--) nested = [nested];
      return nested;
    }
    default:
      return drawObject(random, words, depth);
  }
}

function drawObject(random: Random, words: Words, depth: number): JsonObject {
  const names = Array.from({ length: random.below(4) }, () => drawText(random, words));
  return Object.fromEntries(names.map((name) => [name, drawJson(random, words, depth + 1)]));
}

/** Draws a message. One in fifty values has the type of another. */
export function drawMessage(random: Random, desc: DescMessage, words: Words, depth = 0): Json {
  if (random.percent(2)) return drawJson(random, words);
  switch (desc.typeName) {
    case "google.protobuf.Timestamp":
      return random.pick(TIMES);
    case "google.protobuf.Duration":
      return random.pick(DURATIONS);
    case "google.protobuf.Struct":
      return drawObject(random, words, 0);
    case "google.protobuf.Value":
      return drawJson(random, words);
  }
  const message: JsonObject = {};
  if (depth > DEPTH_MAX) return message;
  for (const member of desc.members) {
    // Few of many: a message of all fields is refused for the first.
    if (!random.percent(Math.max(15, 80 - 8 * desc.members.length)) && !isNeeded(member.name)) continue;
    const field = member.kind === "oneof" ? random.pick(member.fields) : member;
    message[random.percent(95) ? field.jsonName : field.name] = drawField(random, field, words, depth);
  }
  if (random.percent(2)) message[drawText(random, words)] = drawJson(random, words);
  return message;
}

/** Fields without which nothing happens. */
function isNeeded(name: string): boolean {
  return /^(?:run_id|workflow_id|wait_id|workflow|entry_node|nodes|name|worker_session_id|frame|kind)$/.test(name);
}

function drawField(random: Random, field: DescField, words: Words, depth: number): Json {
  switch (field.fieldKind) {
    case "list": {
      const count = random.percent(2) ? 1_001 : random.below(3);
      return Array.from({ length: depth > 3 ? Math.min(count, 2) : count }, () =>
        drawValue(random, field, words, depth),
      );
    }
    case "map": {
      const names = Array.from({ length: 1 + random.below(3) }, () => drawText(random, words));
      return Object.fromEntries(names.map((name) => [name, drawValue(random, field, words, depth)]));
    }
    default:
      return drawValue(random, field, words, depth);
  }
}

function drawValue(random: Random, field: DescField, words: Words, depth: number): Json {
  if (field.message !== undefined) return drawMessage(random, field.message, words, depth + 1);
  if (field.enum !== undefined)
    return random.percent(95) ? random.pick(field.enum.values).name : drawJson(random, words);
  return random.percent(98) ? drawScalar(random, field.scalar, words) : drawJson(random, words);
}

function drawScalar(random: Random, scalar: ScalarType | undefined, words: Words): Json {
  switch (scalar) {
    case ScalarType.STRING:
      return drawText(random, words);
    case ScalarType.BOOL:
      return random.percent(50);
    case ScalarType.BYTES:
      return random.percent(95) ? Buffer.from(drawText(random, words)).toString("base64") : drawText(random, words);
    case ScalarType.INT64:
    case ScalarType.UINT64:
      return random.pick(INT64_TEXTS);
    default:
      return random.pick(random.percent(70) ? SMALL_NUMBERS : NUMBERS);
  }
}

/** Puts any JSON in place of a value somewhere in a message, or adds a member. */
export function mutateJson(random: Random, json: Json, words: Words): Json {
  if (json === null || typeof json !== "object" || random.percent(20)) return drawJson(random, words);
  if (Array.isArray(json)) {
    const at = random.below(json.length + 1);
    return [...json.slice(0, at), mutateJson(random, json[at] ?? null, words), ...json.slice(at + 1)];
  }
  const names = Object.keys(json);
  const name = names.length === 0 || random.percent(10) ? drawText(random, words) : random.pick(names);
  const { [name]: old = null, ...others } = json;
  return random.percent(10) ? others : { ...others, [name]: mutateJson(random, old, words) };
}

/** Changes some bytes: flips, cuts, repeats, and fields that the message does not have. */
export function mutateBytes(random: Random, bytes: Uint8Array): Buffer {
  let changed = Buffer.from(bytes);
  for (let changes = random.below(5); changes > 0; changes--) {
    const at = random.below(changed.length + 1);
    const end = Math.min(changed.length, at + random.below(8));
    const [before, old, after] = [changed.subarray(0, at), changed.subarray(at, end), changed.subarray(end)];
    const pieces = [
      Buffer.alloc(0),
      Buffer.from([random.below(256)]),
      Buffer.concat([old, old]),
      // A field number 1,000; a group; a varint without an end; a length beyond the message.
      Buffer.from([0xc0, 0x3e, 0x01]),
      Buffer.from([0x0b]),
      Buffer.alloc(11, 0xff),
      Buffer.from([0x0a, 0xff, 0xff, 0xff, 0x7f]),
      Buffer.from([0xed, 0xa0, 0x80]),
    ];
    changed = Buffer.concat([before, random.pick(pieces), after]);
  }
  return changed;
}
