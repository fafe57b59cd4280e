/** `abstractruntime server`: starts a server in this process. */
import type { Command } from "commander";

import type { CliContext, ServerSettings } from "./context.ts";

/** Options of the command, each with the environment variable that it overrides. */
const SETTINGS = [
  ["--listen <host:port>", "ABSTRACTRUNTIME_LISTEN", "the address to listen on (default: 127.0.0.1:7400)"],
  [
    "--data-dir <dir>",
    "ABSTRACTRUNTIME_DATA_DIR",
    "where the embedded Postgres keeps its data (default: .abstractruntime)",
  ],
  [
    "--temporary",
    "ABSTRACTRUNTIME_TEMPORARY",
    "keep the data in a new temporary folder, which is removed when the server stops",
  ],
  ["--database-url <url>", "DATABASE_URL", "the Postgres to use instead of the embedded one"],
  ["--insecure", "ABSTRACTRUNTIME_INSECURE", "allow listening beyond loopback without credentials and TLS"],
  ["--hosts <list>", "ABSTRACTRUNTIME_HOSTS", "additional Host names to accept, separated by commas"],
  ["--origins <list>", "ABSTRACTRUNTIME_ORIGINS", "origins of web pages that may call the server, separated by commas"],
  [
    "--attached",
    "ABSTRACTRUNTIME_ATTACHED",
    'for programs that start their own server: write {"url": …} to stdout once it listens, and stop when stdin ends',
  ],
  ["--log-level <level>", "ABSTRACTRUNTIME_LOG_LEVEL", "the log level: trace, debug, info, warn, error, silent"],
] as const;

export function addServerCommand(program: Command, context: CliContext): void {
  const command = program
    .command("server")
    .description("start a server; without a database URL it runs an embedded Postgres");
  for (const [flags, variable, description] of SETTINGS) command.option(flags, `${description} [$${variable}]`);
  command
    .addHelpText(
      "after",
      `
An option overrides its environment variable.

Examples:
  $ abstractruntime server
  $ abstractruntime server --listen 127.0.0.1:7500 --data-dir /var/lib/abstractruntime
  $ DATABASE_URL=postgres://app@db/abstractruntime abstractruntime server`,
    )
    .action(() => context.deps.startServer(serverSettings(command)));
}

function serverSettings(command: Command): ServerSettings {
  const settings: Record<string, string> = {};
  for (const option of command.options) {
    const variable = SETTINGS.find(([flags]) => flags === option.flags)?.[1];
    const value: unknown = command.getOptionValue(option.attributeName());
    if (variable !== undefined && value === true) settings[variable] = "true";
    if (variable !== undefined && typeof value === "string") settings[variable] = value;
  }
  return settings;
}
