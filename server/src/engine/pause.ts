/** Resolves after `ms`. Of the global timers, so that tests can move the clock. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
