import type { Logger } from "pino";
import type { Store } from "../store/contract/store.ts";
import type { Clock } from "./clock.ts";
import type { Health } from "./health.ts";
import type { EngineSettings } from "./settings.ts";

/** What nearly every part of the engine needs. A part that needs more takes it as a parameter of its own. */
export type Essentials = {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  readonly settings: EngineSettings;
  /** Where problems of this server are reported. */
  readonly health: Health;
};
