/** What happened when. */

/** `text` may have further lines. */
export type Mark = { time: Date; text: string; kind: "plain" | "crash" | "good" };

export type Timeline = {
  readonly startTime: Date;
  readonly marks: readonly Mark[];
  mark: (text: string, kind?: Mark["kind"]) => void;
  /** Marks only the first call with this name. */
  markFirst: (name: string, text: string) => void;
};

export function createTimeline(): Timeline {
  const startTime = new Date();
  const marks: Mark[] = [];
  const seen = new Set<string>();
  const mark: Timeline["mark"] = (text, kind = "plain") => marks.push({ time: new Date(), text, kind });
  return {
    startTime,
    marks,
    mark,
    markFirst(name, text) {
      if (seen.has(name)) return;
      seen.add(name);
      mark(text);
    },
  };
}

/** Seconds between two instants, as ` 12.34 s`. */
export function secondsBetween(from: Date, to: Date): string {
  return `${((to.getTime() - from.getTime()) / 1000).toFixed(2).padStart(6)} s`;
}
