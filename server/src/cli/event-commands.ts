/** `abstractruntime event …`: emit. */
import { Scope, ScopeSchema } from "@abstractruntime/proto/event_pb";
import { EmitEventResponseSchema } from "@abstractruntime/proto/runtime_service_pb";
import { fromJson, toJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";

import { type CliContext, runWithClient, type Session, withClientOptions } from "./context.ts";
import { UsageError } from "./failure.ts";
import { safeLine } from "./terminal.ts";
import { enumShortNames, readEnums, readJson } from "./values.ts";

type EmitOptions = {
  scope?: string;
  run?: string;
  session?: string;
  workflow?: string;
  key?: string;
  payload?: string;
  eventId?: string;
  actor?: string;
};

export function addEventCommands(program: Command, context: CliContext): void {
  const event = program.command("event").description("emit events");

  withClientOptions(event.command("emit"))
    .description("emit an event: it wakes the runs that wait for it, and is kept for runs that wait for it later")
    .argument("<name>", "the event's name")
    .option(
      "--scope <scope>",
      `the scope: ${enumShortNames(ScopeSchema).join(", ")} (default: that of --run, --session or --workflow, else global)`,
    )
    .option("--run <id>", "the run to send it to")
    .option("--session <id>", "the session to send it to")
    .option("--workflow <id>", "the workflow whose runs to send it to")
    .option("--key <key>", "the key that waits select it by, such as an order id")
    .option("--payload <json>", "its payload: JSON, @file, or - for standard input")
    .option("--event-id <id>", "the id that identifies a duplicate (default: a new UUIDv7)")
    .option("--actor <id>", "the id of the actor that emits it")
    .addHelpText(
      "after",
      `
Examples:
  $ abstractruntime event emit order.paid --scope global --key order-17 --payload '{"amount": 12}'
  $ abstractruntime event emit go --run expense-17`,
    )
    .action(async (name: string, options: EmitOptions, command: Command) =>
      runWithClient(context, command, (session) => emitEvent(name, options, session)),
    );
}

/** The scope and the target of the event. A target implies its scope, so --scope may be left out. */
function emitTarget(options: EmitOptions) {
  const targets = [
    ...(options.run === undefined
      ? []
      : [{ scope: Scope.RUN, target: { case: "runId" as const, value: options.run } }]),
    ...(options.session === undefined
      ? []
      : [{ scope: Scope.SESSION, target: { case: "sessionId" as const, value: options.session } }]),
    ...(options.workflow === undefined
      ? []
      : [{ scope: Scope.WORKFLOW, target: { case: "workflowId" as const, value: options.workflow } }]),
  ];
  if (targets.length > 1) throw new UsageError("--run, --session and --workflow cannot be combined");
  const [scope] = options.scope === undefined ? [] : readEnums("--scope", ScopeSchema, [options.scope]);
  const found = targets[0] ?? { scope: Scope.GLOBAL, target: { case: undefined } };
  if (scope !== undefined && scope !== 0 && scope !== found.scope) {
    throw new UsageError(
      "--scope run, session and workflow need the option of the same name; --scope global takes none of them",
    );
  }
  return found;
}

async function emitEvent(name: string, options: EmitOptions, session: Session): Promise<undefined> {
  const payload =
    options.payload === undefined ? undefined : await readJson("--payload", options.payload, session.readInput);
  const reply = await session.runtime.emitEvent({
    name,
    ...emitTarget(options),
    key: options.key ?? "",
    ...(payload === undefined ? {} : { payload: fromJson(ValueSchema, payload) }),
    // With this id the request can be retried without emitting a second event.
    eventId: options.eventId ?? session.deps.newId(),
    actorId: options.actor ?? "",
  });
  if (session.json)
    await session.terminal.printJson(toJson(EmitEventResponseSchema, reply, { alwaysEmitImplicit: true }));
  else
    await session.terminal.print(
      `${safeLine(reply.eventId)}: delivered to ${reply.delivered} ${reply.delivered === 1 ? "run" : "runs"}`,
    );
  return undefined;
}
