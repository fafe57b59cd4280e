type FieldsThere<T> = { readonly [Name in keyof T]?: Exclude<T[Name], undefined> };

/**
 * Returns the members of an object whose optional members are absent rather than empty: a proto field that has its zero
 * value is left out.
 */
export function optionalFields<T extends object>(fields: T): FieldsThere<T> {
  const there = Object.entries(fields).filter(([, value]) => value !== undefined && value !== "" && value !== 0);
  return Object.fromEntries(there) as FieldsThere<T>;
}

/** The same for lists and maps: absent where empty. */
export function optionalMembers<T extends { [name: string]: object }>(members: T): FieldsThere<T> {
  return Object.fromEntries(
    Object.entries(members).filter(([, value]) => Object.keys(value).length > 0),
  ) as FieldsThere<T>;
}
