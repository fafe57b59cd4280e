/** Events of channels, and the waits that listen to them. */
import type { Channel, ChannelEvent, EventLookup, EventQuery } from "../../core/event.ts";
import type { RunKey } from "./runs.ts";

/** A wait that events of a channel may end. */
export type Listener = RunKey & { waitId: string; names: string[]; key?: string };

/** How far a channel's listeners have been woken. */
export type ChannelProgress = {
  /** The last event's number, 0 where nothing was emitted. */
  lastNumber: number;
  wokenNumber: number;
  /**
   * Whether there are open waits for events of the channel. A wait that opens later has read all events up to
   * then.
   */
  isHeard: boolean;
};

export interface EventStore {
  /** The last number of each channel, 0 where nothing was emitted. */
  readChannels(channels: readonly Channel[]): Promise<number[]>;
  /**
   * For each query the first event that `queryMatches`, and the number up to which that is so. Makes the channels'
   * rows.
   */
  lookUp(queries: readonly EventQuery[]): Promise<EventLookup[]>;
  /** Events numbered above `after`, in order. */
  list(channel: Channel, after: number, limit: number): Promise<ChannelEvent[]>;
  /** Whether the channel has an event of this id. Takes the same time however many events the channel has. */
  wasEmitted(channel: Channel, eventId: string): Promise<boolean>;
  /** Open, unpaused event waits on a channel that one of the (name, key) pairs matches, in order of wait id. */
  listListeners(request: {
    channel: Channel;
    events: readonly { name: string; key: string }[];
    afterWaitId?: string;
    limit: number;
  }): Promise<Listener[]>;
  /** Notes that the listeners of all events up to `number` have been woken. */
  markWoken(channels: readonly { channel: Channel; number: number }[]): Promise<void>;
  /** How far the listeners of each channel have been woken. */
  readWoken(channels: readonly Channel[]): Promise<ChannelProgress[]>;
}
