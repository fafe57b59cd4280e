import { whole } from "../../core/damage.ts";
import { DomainError } from "../../core/errors.ts";
import type { Caller, WaitView } from "../api.ts";
import type { Essentials } from "../essentials.ts";
import { waitView } from "../wait-view.ts";

/** @throws {DomainError} WAIT_UNKNOWN, DATA_DAMAGED */
export async function getWait(
  { store }: Pick<Essentials, "store">,
  { tenantId }: Caller,
  waitId: string,
): Promise<WaitView> {
  const wait = await store.waits.get(tenantId, waitId);
  if (wait !== undefined) return waitView(whole(wait));
  throw new DomainError("WAIT_UNKNOWN", `There is no wait ${waitId}.`, { metadata: { wait_id: waitId } });
}
