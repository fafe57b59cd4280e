/**
 * Resolves after `ms`. Every pause of the engine is this one, because tests move the global timers, but not those of
 * node:timers/promises.
 */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
