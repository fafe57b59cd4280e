/** The events of channels, and the waits that listen for them. */
import type { Channel, ChannelEvent, EventLookup, EventQuery } from "../../core/event.ts";
import type { RunKey } from "./runs.ts";

/** A wait that an event of a channel may end. */
export type Listener = RunKey & { waitId: string; names: string[]; key?: string };

/** How far a channel's listeners have been woken. */
export type ChannelProgress = {
  /** The last event's number; 0 if the channel has no events. */
  lastNumber: number;
  wokenNumber: number;
  /**
   * Whether any open wait listens for events of the channel. A wait that opens later has already read all events up to
   * then.
   */
  isHeard: boolean;
};

export interface EventStore {
  /** Returns the last number of each channel; 0 if it has no events. */
  readChannels(channels: readonly Channel[]): Promise<number[]>;
  /**
   * Returns for each query the first event that `queryMatches`, and the number up to which the channel was searched.
   * Creates the rows of channels that have none.
   */
  lookUp(queries: readonly EventQuery[]): Promise<EventLookup[]>;
  /** Returns events numbered above `after`, in order. */
  list(channel: Channel, after: number, limit: number): Promise<ChannelEvent[]>;
  /** Returns whether the channel has an event with this id. Takes the same time however many events the channel has. */
  wasEmitted(channel: Channel, eventId: string): Promise<boolean>;
  /**
   * Returns the open, unpaused event waits on a channel that match one of the (name, key) pairs, in order of wait id.
   */
  listListeners(request: {
    channel: Channel;
    events: readonly { name: string; key: string }[];
    afterWaitId?: string;
    limit: number;
  }): Promise<Listener[]>;
  /** Records that the listeners of all events up to `number` have been woken. */
  markWoken(channels: readonly { channel: Channel; number: number }[]): Promise<void>;
  /** Returns how far the listeners of each channel have been woken. */
  readWoken(channels: readonly Channel[]): Promise<ChannelProgress[]>;
}
