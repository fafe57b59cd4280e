/** Mail that a transition acts on: deleted, once. */
import { committedOf, refuseIf, type Section } from "./section.ts";

export const READ_MAIL: Section = {
  name: "read-mail",
  check(hand) {
    refuseIf(hand, ({ tenantId, runId, consumedMail }) => {
      const isThere = consumedMail.every((mailId) => {
        const mail = hand.database.mail.get(mailId);
        return mail?.tenantId === tenantId && mail.runId === runId;
      });
      return isThere ? undefined : "mail";
    });
  },
  write(hand) {
    for (const { consumedMail } of committedOf(hand)) {
      for (const mailId of consumedMail) hand.database.mail.delete(mailId);
    }
  },
};
