/** Runs the commands that the comments of the examples tell people to type. */
import { PassThrough, Readable } from "node:stream";
import { runCli } from "../../server/src/cli/program.ts";

export type Outcome = { code: number; out: string; err: string };

/**
 * The lines of an example's comment that begin with `npx abstractruntime`, without that and without the explanation
 * after them.
 */
export function commandsOf(yaml: string): string[] {
  return [...yaml.matchAll(/^# +npx abstractruntime +(.*)$/gm)].map(([, line = ""]) =>
    line.replace(/\s{2,}# .*$/, "").trim(),
  );
}

/** Runs a line as a shell would, in this process: against a real server, but without Node's start-up time. */
export async function runCommand(line: string, url: string, stdin = ""): Promise<Outcome> {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const written = Promise.all([textOf(stdout), textOf(stderr)]);
  const code = await runCli(wordsOf(line), {
    stdout,
    stderr,
    stdin: Readable.from(stdin === "" ? [] : [Buffer.from(stdin)]),
    env: { ABSTRACTRUNTIME_URL: url, NO_COLOR: "1" },
    startServer: () => Promise.reject(new Error("the tests start their servers themselves")),
  });
  stdout.end();
  stderr.end();
  const [out, err] = await written;
  return { code, out, err };
}

/** Splits a line into words and removes quotes. It knows no escapes and no variables, because no example needs them. */
function wordsOf(line: string): string[] {
  const words: string[] = [];
  for (const [word] of line.matchAll(/(?:'[^']*'|"[^"]*"|[^\s'"])+/g)) {
    words.push(
      word.replaceAll(/'([^']*)'|"([^"]*)"/g, (_match, single?: string, double?: string) => single ?? double ?? ""),
    );
  }
  return words;
}

async function textOf(stream: PassThrough): Promise<string> {
  let text = "";
  for await (const chunk of stream) text += String(chunk);
  return text;
}
