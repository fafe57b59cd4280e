/** Optional members: an object literal without those whose value is `undefined`. */

type GivenMembers<T> = { [Name in keyof T]?: Exclude<T[Name], undefined> };

/** The members that are not `undefined`: `{ ...given({ next, onError }) }` instead of one conditional spread for
 *  each. */
export function given<T extends object>(members: T): GivenMembers<T> {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as GivenMembers<T>;
}
