/** `client.workflows`: registered graphs. */
import { RuntimeService } from "@abstractruntime/proto/runtime_service_pb";
import { type Workflow as WorkflowMessage, WorkflowSchema } from "@abstractruntime/proto/workflow_pb";
import { toJson } from "@bufbuild/protobuf";
import type { CallOptions } from "./connection.ts";
import type { ClientContext } from "./context.ts";
import { given } from "./given.ts";
import type { JsonObject } from "./json.ts";
import { itemsOf, type ListOptions } from "./pages.ts";
import { dateOf } from "./time.ts";
import type { Workflow } from "./workflow.ts";

/** One version of a workflow, as the server has it. */
export type RegisteredWorkflow = {
  readonly workflowId: string;
  /** From 1. */
  readonly version: number;
  /** The identity of the graph: 64 lower-case hex digits. */
  readonly digest: string;
  readonly description: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Whether starts without a version use this one. */
  readonly current: boolean;
  /** Whether the workflow takes no more starts. */
  readonly archived: boolean;
  readonly createTime: Date;
  /** The whole workflow in proto JSON. */
  readonly definition: JsonObject;
};

export type Workflows = {
  /** Registers a graph as the next version of its workflow. A graph that is already registered is returned as it is.
   *  @throws {RefusedError} WORKFLOW_INVALID, with every problem and its path */
  register(workflow: Pick<Workflow, "definition">, options?: CallOptions): Promise<RegisteredWorkflow>;
  /** @param options.version default: the current version
   *  @throws {RefusedError} WORKFLOW_UNKNOWN, VERSION_UNKNOWN */
  get(workflowId: string, options?: CallOptions & { version?: number }): Promise<RegisteredWorkflow>;
  /** The current version of each workflow, ordered by id. With `workflowId`: all versions of that workflow, highest
   *  first. */
  list(
    filter?: { workflowId?: string; labels?: Readonly<Record<string, string>>; archived?: boolean },
    options?: ListOptions,
  ): AsyncIterable<RegisteredWorkflow>;
  /** Sets the version for starts without a version. 0: the highest version, now and after each registration.
   *  @throws {RefusedError} WORKFLOW_UNKNOWN, VERSION_UNKNOWN */
  setCurrentVersion(workflowId: string, version: number, options?: CallOptions): Promise<RegisteredWorkflow>;
  /** Archives a workflow: it takes no more starts, and its runs go on.
   *  @throws {RefusedError} WORKFLOW_UNKNOWN */
  archive(workflowId: string, options?: CallOptions): Promise<RegisteredWorkflow>;
  /** @throws {RefusedError} WORKFLOW_UNKNOWN */
  unarchive(workflowId: string, options?: CallOptions): Promise<RegisteredWorkflow>;
};

export function createWorkflows({ connection }: ClientContext): Workflows {
  const { method } = RuntimeService;
  const setArchived = async (workflowId: string, unarchive: boolean, options: CallOptions) => {
    const request = { workflowId, unarchive };
    const reply = await connection.unary(method.archiveWorkflow, request, { ...options, retry: true });
    return workflowOfMessage(reply.workflow);
  };
  return {
    async register({ definition }, options = {}) {
      const request = { workflow: definition };
      const reply = await connection.unary(method.registerWorkflow, request, { ...options, retry: true });
      return workflowOfMessage(reply.workflow);
    },

    async get(workflowId, { version = 0, ...options } = {}) {
      const reply = await connection.unary(method.getWorkflow, { workflowId, version }, { ...options, retry: true });
      return workflowOfMessage(reply.workflow);
    },

    list({ workflowId = "", labels = {}, archived } = {}, { pageSize = 0, ...options } = {}) {
      const filter = { workflowId, labels: { ...labels }, ...given({ archived }) };
      return itemsOf(async (pageToken) => {
        const request = { filter, pageSize, pageToken };
        const reply = await connection.unary(method.listWorkflows, request, { ...options, retry: true });
        return { items: reply.workflows.map(workflowOfMessage), nextPageToken: reply.nextPageToken };
      });
    },

    async setCurrentVersion(workflowId, version, options = {}) {
      const request = { workflowId, version };
      const reply = await connection.unary(method.setCurrentVersion, request, { ...options, retry: true });
      return workflowOfMessage(reply.workflow);
    },

    archive: (workflowId, options = {}) => setArchived(workflowId, false, options),
    unarchive: (workflowId, options = {}) => setArchived(workflowId, true, options),
  };
}

function workflowOfMessage(workflow: WorkflowMessage | undefined): RegisteredWorkflow {
  if (workflow === undefined) throw new Error("the server sent a reply without the workflow");
  const { workflowId, version, digest, description, labels, current, archived, createTime } = workflow;
  return {
    workflowId,
    version,
    digest,
    description,
    labels,
    current,
    archived,
    createTime: dateOf(createTime),
    definition: toJson(WorkflowSchema, workflow) as JsonObject,
  };
}
