/** Paths in a request, by the names of its JSON form: `nodes.ask.next[0].to`. */
import type { Path } from "@bufbuild/protobuf/reflect";

export type Segment = string | number;

export function dottedPath(segments: readonly Segment[]): string {
  let path = "";
  for (const segment of segments) {
    if (typeof segment === "number") path += `[${segment}]`;
    else path += path === "" ? segment : `.${segment}`;
  }
  return path;
}

/** Converts a path of protobuf's reflection. A oneof has no name in JSON, so its path is the path of its message. */
export function segmentsFromPath(path: Path): Segment[] {
  return path.flatMap((step): Segment[] => {
    switch (step.kind) {
      case "field":
        return [step.jsonName];
      case "oneof":
        return [];
      case "list_sub":
        return [step.index];
      case "map_sub":
        return [String(step.key)];
      case "extension":
        return [`[${step.typeName}]`];
    }
  });
}
