/** Asks the person who reads the draft whether to write it. */
import type { Wait } from "@abstractruntime/sdk";

import { oneLine, type Screen } from "../support/screen.ts";
import { openTerminal, readLine } from "../support/terminal.ts";

/** How much of a report is shown with the question. */
const LINES_SHOWN_MAX = 40;

/** Shows the report and the question at the terminal. The end of the input means the last choice, which does
 *  nothing. */
export async function askAtTerminal(
  { prompt, details, ...wait }: Wait,
  { screen, terminal, signal }: { screen: Screen; terminal: NodeJS.WriteStream; signal: AbortSignal },
): Promise<string> {
  const choices = (wait.choices ?? []) as string[];
  const { report } = details as { report: string };
  const lines = report.trimEnd().split("\n");
  screen.line();
  for (const line of lines.slice(0, LINES_SHOWN_MAX)) screen.line(`  ${oneLine(line)}`);
  if (lines.length > LINES_SHOWN_MAX)
    screen.line(screen.style("dim", `  … ${lines.length - LINES_SHOWN_MAX} more lines`));
  screen.line();
  screen.line(screen.style("bold", prompt));
  screen.line(`  ${choices.map((choice, index) => `${index + 1} ${choice}`).join("   ")}`);
  const keyboard = openTerminal(terminal);
  try {
    for (;;) {
      const typed = await readLine(keyboard, signal);
      const choice = choices[Number(typed) - 1] ?? choices.find((candidate) => candidate === typed);
      if (choice !== undefined) return choice;
      if (typed === undefined) return choices.at(-1) ?? "";
      screen.line(`  type a number from 1 to ${choices.length}`);
    }
  } finally {
    keyboard.close();
  }
}
