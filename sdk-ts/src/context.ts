import type { Connection } from "./connection.ts";

/** What the parts of a client share. */
export type ClientContext = {
  readonly connection: Connection;
  /** Who the client says it is; empty if it did not say. */
  readonly actorId: string;
};
