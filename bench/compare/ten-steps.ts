/** The workflow of all contenders: ten steps, each a small piece of user code in the worker that returns a number. */

export const STEPS_PER_RUN = 10;

/** Asynchronous, as real steps are. */
export async function step(index: number): Promise<number> {
  return index;
}

/** The number of the last step. */
export const COUNT_AT_END = STEPS_PER_RUN - 1;
