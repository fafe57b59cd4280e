/** Returns a member for an object whose optional members are absent rather than empty: `{}` if the proto field has
 *  its zero value. */
export function optionalField<K extends string, T>(
  key: K,
  value: T | undefined,
): { readonly [P in K]?: Exclude<T, undefined> } {
  const isEmpty = value === undefined || value === "" || value === 0;
  return (isEmpty ? {} : { [key]: value }) as { [P in K]?: Exclude<T, undefined> };
}

/** The same for lists and maps: absent if empty. */
export function optionalMembers<K extends string, T extends object>(key: K, value: T): { readonly [P in K]?: T } {
  return (Object.keys(value).length === 0 ? {} : { [key]: value }) as { [P in K]?: T };
}
