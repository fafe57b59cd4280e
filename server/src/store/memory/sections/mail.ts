/** Mail for other runs: what transitions send, and what comes from outside any run. */
import type { MailDraft } from "../../contract/mail.ts";
import type { RunKey } from "../../contract/runs.ts";
import { BatchRejectedError } from "../../contract/errors.ts";
import { deliverMail } from "../mail.ts";
import { assertStorable, assertTexts, type BatchInHand, type Section } from "./section.ts";

/** The bound that a CHECK of the table sets on a kind. */
const KIND_CHARS_MAX = 64;

export const MAIL: Section = {
  name: "mail",
  check(hand) {
    for (const { tenantId, runId, kind, body } of lettersOf(hand)) {
      assertTexts([tenantId, runId, kind]);
      if (kind.length < 1 || kind.length > KIND_CHARS_MAX)
        throw new BatchRejectedError(`a kind of mail has 1 to ${KIND_CHARS_MAX} characters`);
      assertStorable(body);
    }
  },
  write(hand) {
    for (const letter of lettersOf(hand)) if (!hand.outcomes.has(letter.item)) deliverMail(hand.database, letter);
  },
};

/** In the order of the batch. */
function lettersOf({ transitions, deliveries }: BatchInHand): (RunKey & MailDraft & { item: number })[] {
  const sent = transitions.flatMap(({ item, transition }) => transition.mail.map((letter) => ({ item, ...letter })));
  const delivered = deliveries.flatMap(({ item, delivery }) =>
    delivery.type === "mail" ? [{ item, tenantId: delivery.tenantId, runId: delivery.runId, ...delivery.mail }] : [],
  );
  return [...sent, ...delivered].toSorted((a, b) => a.item - b.item);
}
