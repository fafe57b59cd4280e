/** Whether this server can take work now: what its lease, its problems and its last write say together. */
import type { Engine } from "./api.ts";
import type { Health } from "./health.ts";
import type { ServerLease } from "./lanes/server-lease.ts";

export type Serving = Pick<Engine, "isServing" | "problems" | "onServingChange">;

export function createServing(parts: {
  lanes: Pick<ServerLease, "isServing" | "onServingChange">;
  health: Health;
  hasWritten: () => boolean;
}): Serving {
  const { lanes, health, hasWritten } = parts;
  const isServing = () => lanes.isServing() && health.canServe() && hasWritten();
  return {
    isServing,
    problems: health.problems,
    onServingChange(callback) {
      let last = isServing();
      const tell = (): void => {
        const now = isServing();
        if (now === last) return;
        last = now;
        callback(now);
      };
      const stops = [lanes.onServingChange(tell), health.onChange(tell)];
      return () => stops.forEach((stop) => stop());
    },
  };
}
