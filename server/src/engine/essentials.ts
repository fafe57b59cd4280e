import type { Logger } from "pino";
import type { Store } from "../store/contract/store.ts";
import type { Clock } from "./clock.ts";
import type { EngineSettings } from "./settings.ts";

/** What nearly every part of the engine stands on. A part that needs more takes it by itself. */
export type Essentials = {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  readonly settings: EngineSettings;
};
