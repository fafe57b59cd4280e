import { createContextKey, type HandlerContext, type Interceptor } from "@connectrpc/connect";
import type { Actor, Caller } from "../engine/api.ts";
import { PERMISSIONS } from "../engine/caller.ts";

/** Until there are credentials, everybody is this tenant and may do everything. */
const ANYBODY: Caller = { tenantId: "default", may: PERMISSIONS };

const callerKey = createContextKey<Caller | undefined>(undefined, { description: "on whose behalf the call is made" });

/** Says on whose behalf a call is made: from the credential, never from the request. */
export function authInterceptor(): Interceptor {
  return (next) => async (request) => {
    request.contextValues.set(callerKey, ANYBODY);
    return await next(request);
  };
}

/**
 * The caller that `authInterceptor` found.
 * @param claimedActorId the `actor_id` of the request; "" if it claims none
 */
export function callerOf(context: HandlerContext, claimedActorId = ""): Caller {
  const caller = context.values.get(callerKey);
  if (caller === undefined) throw new Error("a service was reached without authentication");
  return claimedActorId === "" ? caller : { ...caller, ...claimedActor(claimedActorId) };
}

/** Who acts, as the caller says without proof; empty if it says nothing. */
export function claimedActor(actorId: string): { actor?: Actor } {
  return actorId === "" ? {} : { actor: { id: actorId, proof: "claimed" } };
}
