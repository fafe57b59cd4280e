/**
 * Resolves after `ms`. The engine pauses only with this function, because tests can fake the global timers but not
 * those of node:timers/promises.
 */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
