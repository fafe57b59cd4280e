/** Parts of runs' states that have rows of their own. */
import { assertStorable, committedOf, runOf, type Section } from "./section.ts";

export const PARTS: Section = {
  name: "parts",
  check({ transitions }) {
    for (const { transition } of transitions) {
      const { vars, output } = transition.after.state;
      assertStorable(vars);
      if (output !== undefined) assertStorable(output);
    }
  },
  write(hand) {
    for (const transition of committedOf(hand)) {
      const { parts } = transition;
      if (parts === undefined) continue;
      const stored = runOf(hand, transition).parts;
      for (const part of parts.dropAll) stored.delete(part);
      for (const { part, name } of parts.drop) stored.get(part)?.delete(name);
      for (const { part, name, text } of parts.set) {
        const ofKind = stored.get(part);
        if (ofKind === undefined) stored.set(part, new Map([[name, text]]));
        else ofKind.set(name, text);
      }
    }
  },
};
