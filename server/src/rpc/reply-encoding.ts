/**
 * Encodes replies: in turns (turns.ts), equal ones once, and only while there is room for what waits to be sent.
 *
 * connect encodes all at once what it is given. So, as with requests (request-decoding.ts), an interceptor encodes the
 * reply and passes connect an empty message in its place. The gateway then replaces the empty message with the bytes.
 */
import { create, type DescMessage, type Message, toBinary, toJsonString } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { createContextKey, type Interceptor } from "@connectrpc/connect";
import { DomainError } from "../core/errors.ts";
import { ENVELOPE_BYTES, requestForm, SMALL_REQUEST_BYTES_MAX } from "./request-decoding.ts";
import type { Turns } from "./turns.ts";

/** The memory for encoded replies that wait to be sent, to all clients together: as for requests that arrive. */
const ROOM_BYTES_MAX = 256 * 1024 * 1024;
/** How long a reply may wait for room before its call is refused. */
const ROOM_WAIT_MS_MAX = 10_000;
/** Calls that hold the content of a reply, read but not encoded: a run with its vars may take many megabytes. */
const CONTENTS_MAX = 64;
/** The memory for messages and bytes of replies that may be asked for again. */
const SHARED_BYTES_MAX = 64 * 1024 * 1024;
/** A message in memory compared with its bytes. */
const MESSAGE_WEIGHT = 5;
/** Encoding less than this again costs less than remembering it. */
const SHARED_BYTES_MIN = 8 * 1024;
/** A larger part is sent in two writes, because copying it would cost more than a write. */
const JOINED_BYTES_MAX = 16 * 1024;

/** What a small message holds at most. It is encoded in a small fraction of a turn. */
const SMALL_NODES_MAX = 500;
const SMALL_CHARS_MAX = SMALL_REQUEST_BYTES_MAX;

type Codec = "json" | "binary";
type Encoded = Uint8Array;

/** The encoded messages of one call that wait to be written. */
export type Outbox = {
  /**
   * Waits until the call may read what its reply will contain. The place is given back when the reply is encoded, the
   * call is over, or the returned function is called.
   * @throws {DomainError} OVERLOADED if it takes too long
   */
  roomForContent(): Promise<() => void>;
  /** The bytes that wait. */
  readonly bytes: number;
  push(encoded: Encoded): void;
  /** Returns the next message to write; the one before has left the process. */
  shift(): Encoded | undefined;
  /** The call is over. */
  close(): void;
};

export const outboxKey = createContextKey<Outbox | undefined>(undefined, {
  description: "the encoded replies of the call",
});

export type ReplyEncoder = {
  interceptor(): Interceptor;
  createOutbox(): Outbox;
  /**
   * Returns the reply that `build` makes; the same message for the same `key` while it is remembered, so that equal
   * replies are built and encoded once. Equal keys must mean equal replies; without a key nothing is remembered.
   */
  share<M extends Message>(key: string | undefined, build: () => M): Promise<M>;
};

export function createReplyEncoder(turns: Turns): ReplyEncoder {
  const room = createRoom();
  const places = createPlaces(CONTENTS_MAX);
  const shared = createSharedReplies();

  const encode = async (desc: DescMessage, message: Message, codec: Codec, isSheddable: boolean): Promise<Encoded> => {
    const known = shared.encodedOf(message, codec);
    if (known !== undefined) return known;
    if (isSmall(message)) return encodeMessage(desc, message, codec, shared);
    const expiresAt = performance.now() + ROOM_WAIT_MS_MAX;
    for (;;) {
      if (isSheddable) await room.untilFree(expiresAt);
      const encoded = await turns.run(
        () => (isSheddable && room.isFull() ? undefined : encodeMessage(desc, message, codec, shared)),
        { isSheddable },
      );
      if (encoded !== undefined) return encoded;
    }
  };

  return {
    interceptor: () => (next) => async (request) => {
      const response = await next(request);
      const outbox = request.contextValues.get(outboxKey);
      if (outbox === undefined) return response;
      const { method } = request;
      const codec = requestForm(request.header.get("content-type") ?? "")?.isJson === true ? "json" : "binary";
      const isSheddable = method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
      const placeholder = placeholderOf(method.output);
      const encodeInto = async (message: Message): Promise<Message> => {
        outbox.push(await encode(method.output, message, codec, isSheddable));
        return placeholder;
      };
      if (response.stream) return { ...response, message: mapMessages(response.message, encodeInto) };
      return { ...response, message: await encodeInto(response.message) };
    },

    createOutbox() {
      const waiting: Encoded[] = [];
      let writing: Encoded | undefined;
      let isClosed = false;
      let hasPlace = false;
      const leavePlace = (): void => {
        if (hasPlace) places.leave();
        hasPlace = false;
      };
      const written = (): void => {
        if (writing !== undefined) room.leave(writing);
        writing = undefined;
      };
      return {
        get bytes() {
          return waiting.reduce((sum, encoded) => sum + encoded.length, 0);
        },
        async roomForContent() {
          if (!hasPlace) await places.enter();
          hasPlace = true;
          if (isClosed) leavePlace();
          return leavePlace;
        },
        push(encoded) {
          leavePlace();
          if (isClosed) return;
          room.enter(encoded);
          waiting.push(encoded);
        },
        shift() {
          written();
          writing = waiting.shift();
          return writing;
        },
        close() {
          isClosed = true;
          leavePlace();
          written();
          for (const encoded of waiting.splice(0)) room.leave(encoded);
        },
      };
    },

    async share(key, build) {
      if (key === undefined) return await turns.run(build, { isSheddable: true });
      const known = shared.get(key);
      if (known !== undefined) return known as ReturnType<typeof build>;
      return await turns.run(
        () => {
          // Another call may have built it while this one waited.
          const found = shared.get(key) as ReturnType<typeof build> | undefined;
          return found ?? shared.put(key, build());
        },
        { isSheddable: true },
      );
    },
  };
}

function encodeMessage(desc: DescMessage, message: Message, codec: Codec, shared: SharedReplies): Encoded {
  // Another call may have encoded it while this one waited.
  const known = shared.encodedOf(message, codec);
  if (known !== undefined) return known;
  const encoded = codec === "json" ? Buffer.from(toJsonString(desc, message)) : toBinary(desc, message);
  shared.encoded(message, codec, encoded);
  return encoded;
}

/** Whether a message is surely so small that it need not wait for its turn. */
function isSmall(message: Message): boolean {
  const rest: unknown[] = [message];
  let nodes = 0;
  let chars = 0;
  for (let value = rest.pop(); value !== undefined; value = rest.pop()) {
    nodes += 1;
    if (typeof value === "string") chars += value.length;
    else if (value instanceof Uint8Array) chars += value.length;
    else if (typeof value === "object" && value !== null) {
      for (const key in value) {
        const member = (value as Record<string, unknown>)[key];
        if (member !== undefined) rest.push(member);
        if (rest.length > SMALL_NODES_MAX) return false;
      }
    }
    if (nodes > SMALL_NODES_MAX || chars > SMALL_CHARS_MAX) return false;
  }
  return true;
}

const PLACEHOLDERS = new WeakMap<DescMessage, Message>();

function placeholderOf(desc: DescMessage): Message {
  const known = PLACEHOLDERS.get(desc);
  if (known !== undefined) return known;
  const placeholder = create(desc);
  PLACEHOLDERS.set(desc, placeholder);
  return placeholder;
}

async function* mapMessages(
  messages: AsyncIterable<Message>,
  map: (message: Message) => Promise<Message>,
): AsyncGenerator<Message> {
  for await (const message of messages) yield await map(message);
}

/** Yields the parts of a reply with the outbox's messages in place of the empty ones.
 *  @param isEnveloped whether the parts are envelopes; otherwise the only part is the message */
export async function* withEncoded(
  parts: AsyncIterable<Uint8Array>,
  outbox: Outbox,
  isEnveloped: boolean,
): AsyncGenerator<Uint8Array> {
  for await (const part of parts) {
    // The end of a stream and an error have no message in the outbox.
    const encoded = isEnveloped && part[0] !== 0 ? undefined : outbox.shift();
    if (encoded === undefined) yield part;
    else if (isEnveloped) yield* enveloped(encoded);
    else yield encoded;
  }
}

function* enveloped(message: Encoded): Generator<Uint8Array> {
  const head = Buffer.alloc(ENVELOPE_BYTES);
  head.writeUInt32BE(message.length, 1);
  if (message.length <= JOINED_BYTES_MAX) {
    yield Buffer.concat([head, message]);
  } else {
    yield head;
    yield message;
  }
}

/** A number of places, given in the order of asking. */
function createPlaces(placesMax: number) {
  let taken = 0;
  const waiting = new Set<() => void>();
  return {
    /** @throws {DomainError} OVERLOADED */
    async enter(): Promise<void> {
      if (taken < placesMax) {
        taken += 1;
        return;
      }
      await new Promise<void>((resolve, reject) => {
        const take = () => {
          clearTimeout(timer);
          waiting.delete(take);
          resolve();
        };
        const timer = setTimeout(() => {
          waiting.delete(take);
          reject(new DomainError("OVERLOADED", "too many large replies are being read"));
        }, ROOM_WAIT_MS_MAX);
        waiting.add(take);
      });
    },
    /** Passes the place to the next one. */
    leave(): void {
      const [next] = waiting;
      if (next === undefined) taken -= 1;
      else next();
    },
  };
}

/** The bytes that wait to be sent. Bytes that several calls share count once. */
function createRoom() {
  const calls = new Map<Encoded, number>();
  let bytes = 0;
  const waiting = new Set<() => void>();

  const isFull = () => bytes >= ROOM_BYTES_MAX;
  return {
    isFull,
    enter(encoded: Encoded): void {
      const count = calls.get(encoded) ?? 0;
      if (count === 0) bytes += encoded.length;
      calls.set(encoded, count + 1);
    },
    leave(encoded: Encoded): void {
      const count = calls.get(encoded) ?? 0;
      if (count > 1) return void calls.set(encoded, count - 1);
      calls.delete(encoded);
      bytes -= encoded.length;
      if (!isFull()) for (const wake of waiting) wake();
    },
    /** @throws {DomainError} OVERLOADED if there is no room by `expiresAt` */
    async untilFree(expiresAt: number): Promise<void> {
      while (isFull()) {
        const leftMs = expiresAt - performance.now();
        if (leftMs <= 0) throw new DomainError("OVERLOADED", "too many replies wait to be read by their clients");
        await new Promise<void>((resolve) => {
          const wake = () => {
            clearTimeout(timer);
            waiting.delete(wake);
            resolve();
          };
          const timer = setTimeout(wake, leftMs);
          waiting.add(wake);
        });
      }
    },
  };
}

type SharedReplies = ReturnType<typeof createSharedReplies>;

/** The replies that were asked for last, bounded in bytes. */
function createSharedReplies() {
  type Entry = { key: string; message: Message; weight: number } & Partial<Record<Codec, Encoded>>;
  const byKey = new Map<string, Entry>();
  const byMessage = new WeakMap<Message, Entry>();
  let weight = 0;

  const drop = (entry: Entry): void => {
    if (byKey.get(entry.key) !== entry) return;
    byKey.delete(entry.key);
    byMessage.delete(entry.message);
    weight -= entry.weight;
  };
  const weigh = (entry: Entry, added: number): void => {
    entry.weight += added;
    weight += added;
    for (const oldest of byKey.values()) {
      if (weight <= SHARED_BYTES_MAX) break;
      drop(oldest);
    }
  };

  return {
    get(key: string): Message | undefined {
      const entry = byKey.get(key);
      if (entry === undefined) return undefined;
      // The map is ordered by last use.
      byKey.delete(key);
      byKey.set(key, entry);
      return entry.message;
    },
    put<M extends Message>(key: string, message: M): M {
      const entry: Entry = { key, message, weight: 0 };
      byKey.set(key, entry);
      byMessage.set(message, entry);
      weigh(entry, SHARED_BYTES_MIN);
      return message;
    },
    encodedOf: (message: Message, codec: Codec): Encoded | undefined => byMessage.get(message)?.[codec],
    encoded(message: Message, codec: Codec, encoded: Encoded): void {
      const entry = byMessage.get(message);
      if (entry === undefined) return;
      if (encoded.length < SHARED_BYTES_MIN) return drop(entry);
      const isFirst = entry.json === undefined && entry.binary === undefined;
      entry[codec] = encoded;
      weigh(entry, encoded.length * (isFirst ? MESSAGE_WEIGHT + 1 : 1));
    },
  };
}
