import type { NoticeHub } from "./notice-hub.ts";
import type { Reaction } from "./reactions.ts";

/** Notifies watchers in this process of every run that this server changes. */
export function publishNews(hub: NoticeHub): Reaction {
  return {
    committed({ key, run, hasNotices }) {
      hub.publish(key, run);
      if (hasNotices) hub.publishFeed();
    },
  };
}
