import { createContextKey, type HandlerContext, type Interceptor } from "@connectrpc/connect";
import type { Actor, Caller } from "../engine/api.ts";
import { PERMISSIONS } from "../engine/caller.ts";

/** Until there are credentials, every caller has this tenant and every permission. */
const ANYBODY: Caller = { tenantId: "default", may: PERMISSIONS };

const callerKey = createContextKey<Caller | undefined>(undefined, { description: "the caller of the request" });

/** Sets the caller of a request: from its credential, never from its message. */
export function authInterceptor(): Interceptor {
  return (next) => async (request) => {
    request.contextValues.set(callerKey, ANYBODY);
    return await next(request);
  };
}

/**
 * Returns the caller that `authInterceptor` set.
 * @param claimedActorId the `actor_id` of the request; "" if it claims no actor
 */
export function callerOf(context: HandlerContext, claimedActorId = ""): Caller {
  const caller = context.values.get(callerKey);
  if (caller === undefined) throw new Error("a service was reached without authentication");
  const timeoutMs = context.timeoutMs();
  if (claimedActorId === "" && timeoutMs === undefined) return caller;
  return { ...caller, ...claimedActor(claimedActorId), ...(timeoutMs === undefined ? {} : { timeoutMs }) };
}

/** The actor that the caller claims to be, without proof; empty if it claims no actor. */
export function claimedActor(actorId: string): { actor?: Actor } {
  return actorId === "" ? {} : { actor: { id: actorId, proof: "claimed" } };
}
