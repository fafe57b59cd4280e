/** A clock that all processes of a machine share, so that times of different processes can be compared. */

/** Milliseconds since the machine was started, with fractions. */
export function machineMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
