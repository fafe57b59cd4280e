/** Events to emit. */
import type { EventDraft } from "../../../core/event.ts";
import { emitEvent } from "../events.ts";
import { assertStorable, assertTexts, type BatchInHand, type Section } from "./section.ts";

export const EVENTS: Section = {
  name: "events",
  check(hand) {
    for (const { event } of emittedOf(hand)) {
      const { payload, ...columns } = event;
      assertTexts(Object.values(columns));
      assertStorable(payload);
    }
  },
  write(hand) {
    const { database, outcomes } = hand;
    for (const { item, event, isDelivered } of emittedOf(hand)) {
      if (!isDelivered && outcomes.has(item)) continue;
      const number = emitEvent(database, event);
      if (isDelivered) outcomes.set(item, number === undefined ? { type: "duplicate" } : { type: "committed", number });
    }
  },
};

/** In the order of the batch. */
function emittedOf({
  transitions,
  deliveries,
}: BatchInHand): { item: number; event: EventDraft; isDelivered: boolean }[] {
  const emitted = transitions.flatMap(({ item, transition }) =>
    transition.events.map((event) => ({ item, event, isDelivered: false })),
  );
  const delivered = deliveries.flatMap(({ item, delivery }) =>
    delivery.type === "event" ? [{ item, event: delivery.event, isDelivered: true }] : [],
  );
  return [...emitted, ...delivered].toSorted((a, b) => a.item - b.item);
}
