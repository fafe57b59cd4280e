/** Knows how long the store has not answered a call, to tell a silent database from a busy server. */
import type { Store } from "../store/contract/store.ts";
import { mapVerbs } from "../store/map-verbs.ts";

type RepliesWatch = {
  store: Store;
  /** Whether a call has been waiting for its answer for at least this long. */
  isSilent(forMs: number): boolean;
};

export function watchReplies(inner: Store): RepliesWatch {
  /** When the calls under way began, the oldest first. */
  const waiting = new Set<{ beganAt: number }>();
  const verbs = mapVerbs(inner, async (_verb, perform) => {
    const call = { beganAt: performance.now() };
    waiting.add(call);
    try {
      return await perform();
    } finally {
      waiting.delete(call);
    }
  });
  return {
    store: { ...inner, ...verbs },
    isSilent(forMs) {
      const [oldest] = waiting;
      return oldest !== undefined && performance.now() - oldest.beganAt >= forMs;
    },
  };
}
