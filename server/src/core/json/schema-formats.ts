/**
 * The formats that are checked. Others are annotations, as JSON Schema allows: of the standard ones `hostname`,
 * `idn-hostname`, `iri`, `iri-reference` and `regex`.
 */
import {
  isDate,
  isDateTime,
  isDuration,
  isEmail,
  isIdnEmail,
  isIPv4,
  isIPv6,
  isJsonPointer,
  isRelativeJsonPointer,
  isTime,
  isUri,
  isUriReference,
  isUriTemplate,
  isUuid,
} from "@hyperjump/json-schema-formats";

export const FORMATS: ReadonlyMap<string, (text: string) => boolean> = new Map([
  ["date-time", isDateTime],
  ["date", isDate],
  ["time", (text: string) => isTime(text) || isLeapSecond(text)],
  ["duration", isDuration],
  ["email", isEmail],
  ["idn-email", isIdnEmail],
  ["ipv4", isIPv4],
  ["ipv6", isIPv6],
  ["uri", isUri],
  ["uri-reference", isUriReference],
  ["uri-template", isUriTemplate],
  ["uuid", isUuid],
  ["json-pointer", isJsonPointer],
  ["relative-json-pointer", isRelativeJsonPointer],
]);

/** Whether a time is 23:59:60 in UTC: a leap second, as far as a time without a date shows. */
function isLeapSecond(text: string): boolean {
  const [, hour, minute, sign, hours = "0", minutes = "0"] =
    /^([0-9]{2}):([0-9]{2}):60(?:\.[0-9]+)?(?:[zZ]|([+-])([0-9]{2}):([0-9]{2}))$/.exec(text) ?? [];
  if (hour === undefined || !isTime(text.replace(":60", ":59"))) return false;
  const offset = (Number(hours) * 60 + Number(minutes)) * (sign === "-" ? -1 : 1);
  return (Number(hour) * 60 + Number(minute) - offset + 1440) % 1440 === 1439;
}
