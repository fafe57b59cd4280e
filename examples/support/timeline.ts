/** The timeline of a demo. */
import type { Screen } from "./screen.ts";

/** `text` may have several lines. */
export type Mark = { time: Date; text: string; kind: "plain" | "crash" | "good" };

export type Timeline = {
  readonly startTime: Date;
  readonly marks: readonly Mark[];
  mark: (text: string, kind?: Mark["kind"]) => void;
  /** Marks only the first call with this name. */
  markFirst: (name: string, text: string) => void;
};

/** The column after the time and a gap. */
const TEXT_COLUMN = 11;

/** @param onMark called with each mark */
export function createTimeline(onMark: (mark: Mark, startTime: Date) => void = () => undefined): Timeline {
  const startTime = new Date();
  const marks: Mark[] = [];
  const seen = new Set<string>();
  const mark: Timeline["mark"] = (text, kind = "plain") => {
    const made: Mark = { time: new Date(), text, kind };
    marks.push(made);
    onMark(made, startTime);
  };
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

/** A mark as a line, with its time since the start. */
export function showMark(screen: Screen, { time, text, kind }: Mark, startTime: Date): void {
  const line = `${secondsBetween(startTime, time)}   ${text.replaceAll("\n", `\n${" ".repeat(TEXT_COLUMN)}`)}`;
  screen.line(kind === "crash" ? screen.style("red", line) : kind === "good" ? screen.style("green", line) : line);
}
