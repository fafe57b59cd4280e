import { describe, expect, test } from "vitest";

import { channelKey, type EventCursor, type EventQuery, nameMatches, queryMatches, SCOPES } from "./event.ts";

test.each([
  ["tick", "tick", true],
  ["tick", "tick.tock", false],
  ["tick", "tic", false],
  ["tick", "Tick", false],
  ["tick*", "tick", true],
  ["tick*", "tick.tock", true],
  ["tick.*", "tick", false],
  ["*", "anything", true],
  ["a*", "ba", false],
])("the pattern %s covers the name %s: %s", (pattern, name, covers) => {
  expect(nameMatches(pattern, name)).toBe(covers);
});

test("channels of different tenants, scopes and scope ids have different keys", () => {
  const channels = ["acme", "other"].flatMap((tenantId) =>
    SCOPES.flatMap((scope) => ["", "x"].map((scopeId) => ({ tenantId, scope, scopeId }))),
  );
  expect(new Set(channels.map(channelKey)).size).toBe(channels.length);
});

describe("an event is what a query looks for when", () => {
  const channel = { tenantId: "acme", scope: "global", scopeId: "" } as const;
  const query: EventQuery = { channel, names: ["order.*", "tick"], startNumber: 5, cursors: [] };
  const event = { number: 9, name: "order.paid", key: "k1" };
  const cursor = (more: Partial<EventCursor>): EventQuery => ({
    ...query,
    cursors: [{ scope: "global", name: "order.paid", number: 9, ...more }],
  });

  test.each<[string, EventQuery, Partial<typeof event>, boolean]>([
    ["its name matches", query, {}, true],
    ["its name is not one of those", query, { name: "tock" }, false],
    ["it came right after the start", query, { number: 6 }, true],
    ["it preceded the start", query, { number: 5 }, false],
    ["the key is the same", { ...query, key: "k1" }, {}, true],
    ["the key is another", { ...query, key: "k2" }, {}, false],
    ["the query has a key and the event has none", { ...query, key: "k1" }, { key: "" }, false],
    ["the query wants events without a key", { ...query, key: "" }, { key: "" }, true],
    ["a cursor of its name has passed it", cursor({}), {}, false],
    ["a cursor of its name is before it", cursor({ number: 8 }), {}, true],
    ["a cursor of another name is behind it", cursor({ name: "order.lost" }), {}, true],
    ["a cursor of a pattern has passed it", cursor({ name: "order.*" }), {}, false],
    ["a cursor of its key has passed it", cursor({ key: "k1" }), {}, false],
    ["a cursor of another key has passed it", cursor({ key: "k2" }), {}, true],
  ])("%s", (_what, asked, more, expected) => {
    expect(queryMatches(asked, { ...event, ...more })).toBe(expected);
  });
});
