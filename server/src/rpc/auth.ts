import { createContextKey, type HandlerContext, type Interceptor } from "@connectrpc/connect";
import type { Caller } from "../engine/api.ts";

/** Until there are credentials, everybody is this tenant. */
const DEFAULT_TENANT: Caller = { tenantId: "default" };

const callerKey = createContextKey<Caller | undefined>(undefined, { description: "on whose behalf the call is made" });

/** Says on whose behalf a call is made: from the credential, never from the request. */
export function authInterceptor(): Interceptor {
  return (next) => async (request) => {
    request.contextValues.set(callerKey, DEFAULT_TENANT);
    return await next(request);
  };
}

/** The caller that `authInterceptor` found. */
export function callerOf(context: HandlerContext): Caller {
  const caller = context.values.get(callerKey);
  if (caller === undefined) throw new Error("a service was reached without authentication");
  return caller;
}
