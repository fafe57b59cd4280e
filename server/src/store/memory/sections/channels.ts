/**
 * Channels: groups that commit only if a channel has not moved. Checked before any event of the batch, so that a batch
 * does not refuse itself.
 */
import { channelKey } from "../../../core/event.ts";
import { refuseIf, type Section } from "./section.ts";

export const CHANNELS: Section = {
  name: "channels",
  check(hand) {
    refuseIf(hand, ({ expectChannels }) => {
      const hasMoved = expectChannels.some(({ channel, upTo }) => {
        const lastNumber = hand.database.channels.get(channelKey(channel))?.lastNumber ?? 0;
        return lastNumber > upTo;
      });
      return hasMoved ? "channel_moved" : undefined;
    });
  },
};
