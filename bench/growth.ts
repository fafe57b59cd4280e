/** Whether anything grows under a constant load: compares an early part of the samples with the last part. */
import { median } from "./statistics.ts";

/** One sample of a soak. */
export type SoakSample = {
  /** Since the load began. */
  seconds: number;
  stepsPerSecond: number;
  p50Ms: number;
  p99Ms: number;
  /** CPU time of a step in all processes except the load generator. */
  cpuUs: number;
  /** The server's heap after garbage collection. Null if not measured, since that stops the server for a moment. */
  heapMiB: number | null;
  serverMiB: number;
  workerMiB: number;
  /** Runs that have ended since the database was created. */
  runs: number;
  databaseMiB: number;
  /** Size of the tables in which every step changes a row. */
  changingMiB: number;
  /** The share of all rows in all tables. */
  deadShare: number;
};

export type Growth = {
  name: string;
  early: number;
  late: number;
  /** Its change per minute, by least squares over all samples from the early part on. */
  perMinute: number;
  /** Its limit in the late part. */
  lateMax: number;
  hasGrown: boolean;
};

/** From when to when, in seconds. */
export type Span = { from: number; to: number };

/**
 * The quantities, and the difference that does not count as growth: more than the same load varies from part to part.
 * Latencies are of whole parts, because checkpoints and vacuums affect only some samples; dead rows vary with each
 * vacuum.
 */
const WATCHED: readonly { name: keyof SoakSample; factor: number; slack: number }[] = [
  { name: "heapMiB", factor: 1.05, slack: 3 },
  { name: "serverMiB", factor: 1.1, slack: 10 },
  { name: "workerMiB", factor: 1.1, slack: 10 },
  { name: "p50Ms", factor: 1.25, slack: 1 },
  { name: "p99Ms", factor: 1.4, slack: 10 },
  { name: "cpuUs", factor: 1.1, slack: 0 },
  { name: "deadShare", factor: 1.1, slack: 0.02 },
];
/** How much more the last runs may leave in the database than the early ones. */
const BYTES_PER_RUN_FACTOR = 1.1;

export function growthOf(samples: readonly SoakSample[], { early, late }: { early: Span; late: Span }): Growth[] {
  const first = within(samples, early);
  const last = within(samples, late);
  const all = within(samples, { from: early.from, to: late.to });
  const compared = WATCHED.map(({ name, factor, slack }): Growth => {
    const values = { early: median(valuesOf(first, name)), late: median(valuesOf(last, name)) };
    const lateMax = values.early * factor + slack;
    return { name, ...values, perMinute: slopeOf(all, name) * 60, lateMax, hasGrown: values.late > lateMax };
  });
  return [...compared, bytesPerRun("databaseMiB", first, last), bytesPerRun("changingMiB", first, last)];
}

/** Tables naturally grow with each run; bloat is when they grow by more for each run. */
function bytesPerRun(
  name: "databaseMiB" | "changingMiB",
  first: readonly SoakSample[],
  last: readonly SoakSample[],
): Growth {
  const of = (samples: readonly SoakSample[]): number => {
    const [begin, end] = [samples[0]!, samples.at(-1)!];
    return ((end[name] - begin[name]) * 1024 ** 2) / (end.runs - begin.runs);
  };
  const [early, late] = [of(first), of(last)];
  const minutes = (last.at(-1)!.seconds - first.at(-1)!.seconds) / 60;
  const lateMax = early * BYTES_PER_RUN_FACTOR;
  const label = name === "databaseMiB" ? "bytesPerRun" : "changingBytesPerRun";
  return { name: label, early, late, perMinute: (late - early) / minutes, lateMax, hasGrown: late > lateMax };
}

function within(samples: readonly SoakSample[], { from, to }: Span): readonly SoakSample[] {
  const found = samples.filter(({ seconds }) => seconds >= from && seconds <= to);
  if (found.length < 2) throw new Error(`there are no samples between ${from} and ${to} s`);
  return found;
}

function valuesOf(samples: readonly SoakSample[], name: keyof SoakSample): number[] {
  return samples.flatMap((sample) => sample[name] ?? []);
}

/** The slope per second, by least squares. */
function slopeOf(samples: readonly SoakSample[], name: keyof SoakSample): number {
  const looked = samples.filter((sample) => sample[name] !== null);
  const seconds = looked.map((sample) => sample.seconds);
  const values = valuesOf(looked, name);
  const mean = (of: readonly number[]): number => of.reduce((sum, value) => sum + value, 0) / of.length;
  const [meanSeconds, meanValue] = [mean(seconds), mean(values)];
  const spread = seconds.reduce((sum, at) => sum + (at - meanSeconds) ** 2, 0);
  return seconds.reduce((sum, at, index) => sum + (at - meanSeconds) * (values[index]! - meanValue), 0) / spread;
}
