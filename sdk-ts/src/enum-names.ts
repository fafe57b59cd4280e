/** Enums as callers see them: the contract's names without their prefix, such as `running` or `at-least-once`. */
import type { DescEnum, EnumShape } from "@bufbuild/protobuf";
import { enumName } from "./effects.ts";

/** The short name of a number; undefined for 0 and for what a later release knows. */
export function shortNameOf(desc: DescEnum, number: number): string | undefined {
  const name = number === 0 ? undefined : desc.value[number]?.name;
  return name
    ?.slice(desc.sharedPrefix?.length ?? 0)
    .toLowerCase()
    .replaceAll("_", "-");
}

/** The number of a short name.
 *  @throws {TypeError} */
export function numberOf<Desc extends DescEnum>(desc: Desc, short: string): EnumShape<Desc> {
  const name = enumName(desc.sharedPrefix?.toUpperCase() ?? "", short);
  const value = desc.values.find((each) => each.name === name);
  if (value === undefined) throw new TypeError(`${JSON.stringify(short)} is none of the values of ${desc.name}`);
  return value.number as EnumShape<Desc>;
}
