/** Enums as callers see them: the contract's names without their prefix, such as `running` or `at-least-once`. */
import type { DescEnum, EnumShape } from "@bufbuild/protobuf";

/** The contract's name of an enum value: `at-least-once` is `DELIVERY_AT_LEAST_ONCE`. */
export function enumName(prefix: string, short: string): string {
  return prefix + short.toUpperCase().replaceAll("-", "_");
}

/** The short name of a number. Returns undefined for 0 and for a number that only a later release knows. */
export function shortNameOf(desc: DescEnum, number: number): string | undefined {
  const name = number === 0 ? undefined : desc.value[number]?.name;
  return name
    ?.slice(desc.sharedPrefix?.length ?? 0)
    .toLowerCase()
    .replaceAll("_", "-");
}

/** The number of a short name.
 *  @throws {TypeError} if the enum has no such value */
export function numberOf<Desc extends DescEnum>(desc: Desc, short: string): EnumShape<Desc> {
  const name = enumName(desc.sharedPrefix?.toUpperCase() ?? "", short);
  const value = desc.values.find((each) => each.name === name);
  if (value === undefined) throw new TypeError(`${desc.name} has no value ${JSON.stringify(short)}`);
  return value.number as EnumShape<Desc>;
}
