/**
 * The demo's own tools, as a module for a tool worker:
 *
 *   npx abstractruntime-tool-worker --root FOLDER --tools examples/report/tools.ts
 *
 * REPORT_DIR is the folder that the report is written to (default: the current one). If CALLS_LOG is set, each call
 * logs its begin to that file.
 */
import { createHash, randomUUID } from "node:crypto";
import { appendFileSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { type JobContext, tool } from "@abstractruntime/sdk";
import { z } from "zod";

import { countMarks } from "./marks.ts";
import { outlineText } from "./outline.ts";
import { draftSection } from "./sections.ts";
import { surveyFiles } from "./survey.ts";

const REPORT_DIR = resolve(process.env["REPORT_DIR"] ?? ".");
const CALLS_LOG = process.env["CALLS_LOG"];

/** A model would take longer; without this pause the calls would be too short to be hit by a kill. */
const THINKING_MS_MIN = 250;
const THINKING_MS_MAX = 650;
/** How many calls of a slow tool a worker runs at once: all sections, or half a round of outlines. Others wait. */
const SLOW_CONCURRENCY = 5;

/** Logs that a call runs now; it runs again if its worker died. */
function begin({ idempotencyKey }: JobContext): void {
  if (CALLS_LOG === undefined) return;
  appendFileSync(CALLS_LOG, `${JSON.stringify({ time: new Date().toISOString(), key: idempotencyKey })}\n`);
}

/** Pauses for a time that varies between calls but is the same for each run of one call. */
async function think(context: JobContext): Promise<void> {
  begin(context);
  const chance = createHash("sha256").update(context.idempotencyKey).digest().readUInt8(0) / 256;
  await sleep(THINKING_MS_MIN + (THINKING_MS_MAX - THINKING_MS_MIN) * chance, undefined, { signal: context.signal });
}

const entry = z.object({ path: z.string(), name: z.string(), type: z.string(), size: z.number() });
const match = z.object({ path: z.string(), line: z.number(), text: z.string() });
const outline = z.object({
  path: z.string(),
  lines: z.number(),
  words: z.number(),
  longest_line: z.number(),
  headings: z.array(z.string()),
  truncated: z.boolean(),
});
const survey = z.object({
  files: z.number(),
  bytes: z.number(),
  folders: z.number(),
  others: z.number(),
  truncated: z.boolean(),
  kinds: z.array(z.object({ extension: z.string(), files: z.number(), bytes: z.number() })),
  kinds_left_out: z.number(),
  largest: z.array(z.object({ path: z.string(), size: z.number() })),
  rounds: z.array(z.array(z.string())),
});
const marked = z.object({
  counts: z.array(z.object({ mark: z.string(), lines: z.number() })),
  first: z.array(match),
  files: z.number(),
  truncated: z.boolean(),
});
const unread = z.object({ path: z.string(), code: z.string() });

const surveyFilesTool = tool(
  {
    name: "survey_files",
    description: "Counts the files of a list, and chooses which to read.",
    input: z.object({
      list: z.object({ path: z.string(), entries: z.array(entry), truncated: z.boolean() }),
      files_max: z.number(),
      bytes_per_file: z.number(),
    }),
  },
  ({ list, files_max: filesMax, bytes_per_file: bytesPerFile }, context) => {
    begin(context);
    return surveyFiles(list, { filesMax, bytesPerFile });
  },
);

const countMarksTool = tool(
  {
    name: "count_marks",
    description: "Counts the lines that are marked for later.",
    input: z.object({
      search: z.object({ matches: z.array(match), files_searched: z.number(), truncated: z.boolean() }).nullable(),
    }),
  },
  ({ search }, context) => {
    begin(context);
    return countMarks(search);
  },
);

const outlineTextTool = tool(
  {
    name: "outline_text",
    description: "Outlines a text: lines, words, headings.",
    input: z.object({ path: z.string(), text: z.string(), truncated: z.boolean() }),
    concurrency: SLOW_CONCURRENCY,
  },
  async (text, context) => {
    await think(context);
    return outlineText(text);
  },
);

const draftSectionTool = tool(
  {
    name: "draft_section",
    description: "Drafts a section of the report, in Markdown.",
    input: z.discriminatedUnion("section", [
      z.object({ section: z.literal("summary"), survey, read: z.number(), unread: z.array(unread) }),
      z.object({ section: z.literal("kinds"), survey }),
      z.object({ section: z.enum(["longest", "documents"]), outlines: z.array(outline) }),
      z.object({ section: z.literal("marks"), marked }),
    ]),
    concurrency: SLOW_CONCURRENCY,
  },
  async (facts, context) => {
    await think(context);
    return { text: draftSection(facts) };
  },
);

const writeReportTool = tool(
  {
    name: "write_report",
    description: "Writes the report, replacing an existing one.",
    input: z.object({ name: z.string().regex(/^[\w-]+\.md$/), content: z.string() }),
  },
  async ({ name, content }, context) => {
    begin(context);
    const path = join(REPORT_DIR, name);
    // Atomic, and safe to repeat.
    const temporary = join(REPORT_DIR, `.${name}.${randomUUID()}`);
    await writeFile(temporary, content, { flush: true });
    await rename(temporary, path);
    return { path, size: Buffer.byteLength(content) };
  },
);

// oxlint-disable-next-line import/no-default-export -- this is what --tools takes
export default [surveyFilesTool, countMarksTool, outlineTextTool, draftSectionTool, writeReportTool];
