/** What everybody runs: ten steps, each a small piece of user code in the worker's process that gives a number to be stored. */

export const STEPS_PER_RUN = 10;

/** Asynchronous, as code that is worth a step is. */
export async function step(index: number): Promise<number> {
  return index;
}

/** The number of the last step. */
export const COUNT_AT_END = STEPS_PER_RUN - 1;
