/** A clock that all processes of a machine share, so that a time taken in one can be compared with one taken in another. */

/** Milliseconds since the machine was started, with their fractions. */
export function machineMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
