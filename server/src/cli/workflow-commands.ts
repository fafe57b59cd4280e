/** `abstractruntime workflow …`: register, list, get, render. */
import { existsSync } from "node:fs";

import { type Workflow, WorkflowSchema } from "@abstractruntime/proto/workflow_pb";
import { clone, toJson } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { stringify } from "yaml";

import { type CliContext, collect, runLocally, runWithClient, type Session, withClientOptions } from "./context.ts";
import { CliError, refusalOf, UsageError } from "./failure.ts";
import { timeText } from "./format-run.ts";
import { loadGraph } from "./graph-file.ts";
import { nodeDetail, renderMermaid } from "./mermaid.ts";
import { readPages } from "./paging.ts";
import { fieldLines, safeLine, safeText, safeYaml, tableLines } from "./terminal.ts";
import { readInteger, readLabels } from "./values.ts";

const VERSION_MAX = 2 ** 31 - 1;
const LIST_LIMIT_DEFAULT = 100;

export function addWorkflowCommands(program: Command, context: CliContext): void {
  const workflow = program.command("workflow").description("register, list, show and draw workflows");

  withClientOptions(workflow.command("register"))
    .description("register graphs from YAML or JSON files; registering the same graph again changes nothing")
    .argument("<file...>", "the files; - for standard input")
    .option("--check", "only check the files, without a server")
    .addHelpText(
      "after",
      `
Problems are shown with file, line and column. Enum values may be short, as in scope: global or delivery: at_most_once.

Examples:
  $ abstractruntime workflow register examples/ask-user.yaml
  $ generate-graph | abstractruntime workflow register -`,
    )
    .action(async (files: string[], options: { check?: true }, command: Command) => {
      if (options.check === true) return runLocally(context, command, (local) => checkFiles(files, local));
      return runWithClient(context, command, (session) => registerFiles(files, session));
    });

  withClientOptions(workflow.command("list"))
    .description("list the current version of each workflow, or all versions of one")
    .argument("[workflow]", "the workflow whose versions to list")
    .option("--label <name=value>", "only workflows with this label; may be given several times", collect)
    .option("--archived", "only archived workflows")
    .option("--limit <n>", `how many to list at most (default: ${LIST_LIMIT_DEFAULT})`)
    .option("--all", "list all")
    .action(async (workflowId: string | undefined, options: ListOptions, command: Command) =>
      runWithClient(context, command, (session) => listWorkflows(workflowId, options, session)),
    );

  withClientOptions(workflow.command("get"))
    .description("show a workflow")
    .argument("<workflow>", "the workflow's id")
    .option("--version <n>", "the version (default: the current one)")
    .option("--yaml", "write the graph as YAML, which can be edited and registered again")
    .addHelpText("after", "\nExample:\n  $ abstractruntime workflow get expense --yaml > expense.yaml")
    .action(async (workflowId: string, options: { version?: string; yaml?: true }, command: Command) =>
      runWithClient(context, command, async (session) => {
        if (options.yaml === true && session.json) throw new UsageError("--yaml and --json cannot be combined");
        const found = await getWorkflow(workflowId, options.version, session);
        if (options.yaml === true) await session.terminal.write(safeYaml(graphYaml(found)));
        else await showWorkflow(found, session);
        return undefined;
      }),
    );

  withClientOptions(workflow.command("render"))
    .description("draw a workflow as a Mermaid flowchart")
    .argument(
      "<file|workflow>",
      "a graph file (needs no server), - for standard input, or the id of a registered workflow",
    )
    .option("--version <n>", "the version of a registered workflow (default: the current one)")
    .addHelpText("after", "\nExample:\n  $ abstractruntime workflow render examples/multi-step.yaml > multi-step.mmd")
    .action(async (subject: string, options: { version?: string }, command: Command) => {
      if (isFile(subject)) {
        if (options.version !== undefined)
          throw new UsageError(
            "--version cannot be combined with a file: it selects a version of a registered workflow",
          );
        return runLocally(context, command, async (local) => {
          const { workflow: graph } = await loadGraph(subject, local.readInput);
          await writeMermaid(graph, local);
        });
      }
      return runWithClient(context, command, async (session) => {
        await writeMermaid(await getWorkflow(subject, options.version, session), session);
        return undefined;
      });
    });
}

/** Whether the subject is a file. An id contains no slash, but it may end in `.yaml`; a file takes precedence then. */
function isFile(subject: string): boolean {
  return (
    subject === "-" ||
    subject.includes("/") ||
    subject.includes("\\") ||
    /\.(ya?ml|json)$/.test(subject) ||
    existsSync(subject)
  );
}

async function writeMermaid(workflow: Workflow, { terminal, json }: Pick<Session, "terminal" | "json">): Promise<void> {
  const mermaid = renderMermaid(workflow);
  if (json) await terminal.printJson({ workflowId: workflow.workflowId, mermaid });
  else await terminal.write(mermaid);
}

async function checkFiles(
  files: readonly string[],
  local: Pick<Session, "terminal" | "json" | "readInput">,
): Promise<void> {
  const graphs = [];
  for (const file of files) graphs.push(await loadGraph(file, local.readInput));
  if (local.json) {
    await local.terminal.printJson({
      files: graphs.map(({ name, workflow }) => ({ file: name, workflowId: workflow.workflowId })),
    });
    return;
  }
  for (const { name, workflow } of graphs) {
    await local.terminal.print(
      `${safeLine(name)}: ${safeLine(workflow.workflowId)}, ${Object.keys(workflow.nodes).length} nodes`,
    );
  }
}

async function registerFiles(files: readonly string[], session: Session): Promise<undefined> {
  // All files are read before the first is sent, so that a mistake in one file does not leave half of them registered.
  const graphs = [];
  for (const file of files) graphs.push(await loadGraph(file, session.readInput));
  const registered: Workflow[] = [];
  for (const graph of graphs) {
    let workflow: Workflow | undefined;
    try {
      ({ workflow } = await session.runtime.registerWorkflow({ workflow: graph.workflow }));
    } catch (error) {
      const refusal = refusalOf(error);
      if (refusal === undefined || refusal.problems.length === 0) throw error;
      throw new CliError(`${graph.describe(refusal.problems)}\n${refusal.reason}: the server refused ${graph.name}`);
    }
    if (workflow === undefined) continue;
    registered.push(workflow);
    if (!session.json) {
      const { workflowId, version, digest } = workflow;
      await session.terminal.print(
        `${safeLine(graph.name)}: ${safeLine(workflowId)} version ${version} (digest ${safeLine(digest)})`,
      );
    }
  }
  if (session.json)
    await session.terminal.printJson({ workflows: registered.map((workflow) => toJson(WorkflowSchema, workflow)) });
  return undefined;
}

type ListOptions = { label?: string[]; archived?: true; limit?: string; all?: true };

async function listWorkflows(
  workflowId: string | undefined,
  options: ListOptions,
  session: Session,
): Promise<undefined> {
  const filter = {
    ...(workflowId === undefined ? {} : { workflowId }),
    labels: readLabels("--label", options.label ?? []),
    ...(options.archived === true ? { archived: true } : {}),
  };
  const { items, nextPageToken } = await readPages(
    listLimit(options, LIST_LIMIT_DEFAULT),
    async (pageSize, pageToken) => {
      const page = await session.runtime.listWorkflows({ filter, pageSize, pageToken });
      return { items: page.workflows, nextPageToken: page.nextPageToken };
    },
  );
  if (session.json) {
    await session.terminal.printJson({ workflows: items.map((item) => toJson(WorkflowSchema, item)), nextPageToken });
    return undefined;
  }
  const rows = items.map((item) => [
    item.workflowId,
    String(item.version),
    [...(item.current ? ["current"] : []), ...(item.archived ? ["archived"] : [])].join(", "),
    String(Object.keys(item.nodes).length),
    timeText(item.createTime),
    item.description.split("\n")[0] ?? "",
  ]);
  const headers = ["WORKFLOW", "VERSION", "STATE", "NODES", "REGISTERED", "DESCRIPTION"];
  for (const line of tableLines(session.terminal, headers, rows)) await session.terminal.print(line);
  await noteMore(session, items.length, nextPageToken);
  return undefined;
}

/** How many items a list command reads. */
export function listLimit(options: { limit?: string; all?: true }, limitDefault: number): number {
  if (options.all === true && options.limit !== undefined) throw new UsageError("--all and --limit cannot be combined");
  if (options.all === true) return Number.POSITIVE_INFINITY;
  return options.limit === undefined
    ? limitDefault
    : readInteger("--limit", options.limit, { min: 1, max: VERSION_MAX });
}

/** Notes that a list has more items than were shown. */
export async function noteMore(session: Session, shown: number, nextPageToken: string): Promise<void> {
  if (nextPageToken !== "") await session.terminal.note(`${shown} shown, there are more: use --limit N or --all`);
}

/** Parses --version; 0 is the current version. */
export function readVersion(version: string | undefined): number {
  return version === undefined ? 0 : readInteger("--version", version, { min: 1, max: VERSION_MAX });
}

async function getWorkflow(workflowId: string, version: string | undefined, session: Session): Promise<Workflow> {
  const { workflow } = await session.runtime.getWorkflow({ workflowId, version: readVersion(version) });
  if (workflow === undefined) throw new CliError("the server's reply contains no workflow");
  return workflow;
}

/** The graph as its author would write it: without the fields that the server sets. */
function graphYaml(workflow: Workflow): string {
  const graph = clone(WorkflowSchema, workflow);
  graph.version = 0;
  graph.digest = "";
  graph.current = false;
  graph.archived = false;
  delete graph.createTime;
  return stringify(toJson(WorkflowSchema, graph), { lineWidth: 0 });
}

async function showWorkflow(workflow: Workflow, { terminal, json }: Session): Promise<void> {
  if (json) return terminal.printJson(toJson(WorkflowSchema, workflow));
  const state = [...(workflow.current ? ["current"] : []), ...(workflow.archived ? ["archived"] : [])].join(", ");
  const fields: [string, string][] = [
    ["workflow", terminal.style("bold", safeLine(workflow.workflowId))],
    ["version", `${workflow.version}${state === "" ? "" : ` (${state})`}`],
    ["digest", safeLine(workflow.digest)],
    ["registered", timeText(workflow.createTime)],
    ["entry", safeLine(workflow.entryNode)],
    ["on error", safeLine(workflow.onError)],
    ["on cancel", safeLine(workflow.onCancel)],
    ["description", safeText(workflow.description)],
  ];
  for (const line of fieldLines(
    terminal,
    fields.filter(([, value]) => value !== ""),
  ))
    await terminal.print(line);
  await terminal.print("");
  const rows = Object.entries(workflow.nodes).map(([nodeId, node]) => [
    nodeId,
    nodeDetail(node),
    [
      ...node.next.map((edge) => (edge.when === "" ? edge.to : `${edge.to} when ${edge.when}`)),
      ...(node.onError === "" ? [] : [`${node.onError} on error`]),
    ].join("; "),
  ]);
  for (const line of tableLines(terminal, ["NODE", "WHAT", "NEXT"], rows)) await terminal.print(line);
}
