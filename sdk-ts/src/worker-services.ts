/** What a worker serves, and the code behind each job. */
import { Delivery } from "@abstractruntime/proto/effect_policy_pb";
import { CustomTypeSchema, HandledWorkflowSchema, ToolSchema } from "@abstractruntime/proto/worker_pb";
import { type Job, JobKind, type WorkerHello, WorkerHelloSchema } from "@abstractruntime/proto/worker_service_pb";
import { create, type JsonValue, toBinary } from "@bufbuild/protobuf";

import { readHandlerInput, readPayload } from "./job-payload.ts";
import type { JobWork } from "./job-run.ts";
import { createJobSlots, type JobSlots } from "./job-slots.ts";
import {
  assertConcurrency,
  assertServedName,
  type JobContext,
  type Tool,
  type ToolDelivery,
  ToolError,
} from "./tool.ts";
import type { Workflow } from "./workflow.ts";

/** The code of a custom effect: receives the node's payload, returns any JSON. */
export type CustomFunction = (payload: JsonValue, context: JobContext) => unknown;
/** A custom effect that a worker serves: its code, or its code with some of the settings of a tool. */
export type CustomEffect =
  | CustomFunction
  | { run: CustomFunction; delivery?: ToolDelivery; /** 1 to 10,000. */ concurrency?: number };

export type ServedThings = {
  tools: readonly Tool[];
  workflows: readonly Workflow[];
  custom: Readonly<Record<string, CustomEffect>>;
};

export type WorkerServices = {
  /** The part of the hello that lists them. */
  readonly hello: Pick<WorkerHello, "tools" | "workflows" | "customTypes">;
  /** The code of a job; undefined if the worker does not serve it. */
  find(job: Job): Service | undefined;
};

export type Service = {
  work: JobWork;
  /** Absent: limited only by the worker's concurrency. */
  slots?: JobSlots;
};

/** A frame has at most 3 MiB, and a hello also names up to 10,000 jobs by tokens of about 150 bytes. */
const HELLO_BYTES_MAX = 1024 * 1024;
/** How many of each kind one worker may serve, by the contract. */
const SERVED_MAX = 1_000;

/** @throws {TypeError} if two things have the same name, there are too many of them, their schemas are too large
 *  together, or a custom effect is outside the contract's bounds */
export function createWorkerServices({ tools, workflows, custom }: ServedThings): WorkerServices {
  const effects = Object.entries(custom).map(([type, effect]) => customEffect(type, effect));
  const toolServices = indexed("tools", tools, (served) => [
    served.name,
    service(served.concurrency, (job, context) => served.call(readPayload(job), context)),
  ]);
  const workflowServices = indexed("workflows", workflows, (served) => [
    served.workflowId,
    { work: (job, context) => callHandler(served, job, context) },
  ]);
  const customServices = indexed("custom effects", effects, ({ type, concurrency, run }) => [
    type,
    service(concurrency, async (job, context) => run(readPayload(job), context)),
  ]);
  const byKind: Partial<Record<JobKind, ReadonlyMap<string, Service>>> = {
    [JobKind.TOOL]: toolServices,
    [JobKind.HANDLER]: workflowServices,
    [JobKind.CUSTOM]: customServices,
  };
  const hello = create(WorkerHelloSchema, {
    tools: tools.map(toolToProto),
    workflows: workflows.map(({ workflowId }) => create(HandledWorkflowSchema, { workflowId })),
    customTypes: effects.map(({ type, delivery, concurrency }) =>
      create(CustomTypeSchema, { type, delivery: deliveryToProto(delivery), concurrency: concurrency ?? 0 }),
    ),
  });
  if (toBinary(WorkerHelloSchema, hello).length > HELLO_BYTES_MAX) {
    throw new TypeError(
      `the names, descriptions and schemas that a worker serves may have at most ${HELLO_BYTES_MAX} bytes`,
    );
  }
  return {
    hello,
    find: ({ kind, name }) => byKind[kind]?.get(name),
  };
}

function indexed<Served>(
  what: string,
  served: readonly Served[],
  entryOf: (one: Served) => [string, Service],
): ReadonlyMap<string, Service> {
  if (served.length > SERVED_MAX) throw new TypeError(`a worker can serve at most ${SERVED_MAX} ${what}`);
  const services = new Map<string, Service>();
  for (const one of served) {
    const [name, found] = entryOf(one);
    if (services.has(name)) throw new TypeError(`two ${what} have the name ${JSON.stringify(name)}`);
    services.set(name, found);
  }
  return services;
}

function service(concurrency: number | undefined, work: JobWork): Service {
  return concurrency === undefined ? { work } : { work, slots: createJobSlots(concurrency) };
}

function customEffect(type: string, effect: CustomEffect) {
  assertServedName("the type of a custom effect", type);
  const { run, delivery, concurrency } =
    typeof effect === "function" ? { run: effect, delivery: undefined, concurrency: undefined } : effect;
  assertConcurrency(`custom effect ${type}`, concurrency);
  return { type, run, delivery, concurrency };
}

function toolToProto({ name, version, description, inputSchema, delivery, concurrency }: Tool) {
  return create(ToolSchema, {
    name,
    version,
    description,
    inputSchema: inputSchema === undefined ? new Uint8Array() : Buffer.from(JSON.stringify(inputSchema)),
    delivery: deliveryToProto(delivery),
    concurrency: concurrency ?? 0,
  });
}

function deliveryToProto(delivery: ToolDelivery | undefined): Delivery {
  switch (delivery) {
    case "at-least-once":
      return Delivery.AT_LEAST_ONCE;
    case "at-most-once":
      return Delivery.AT_MOST_ONCE;
    case undefined:
      return Delivery.UNSPECIFIED;
  }
}

async function callHandler(workflow: Workflow, job: Job, context: JobContext): Promise<unknown> {
  const handler = workflow.handlers.get(context.nodeId);
  if (handler === undefined) {
    throw new ToolError(
      "HANDLER_UNKNOWN",
      `workflow ${workflow.workflowId} has no handler ${context.nodeId} in this worker`,
      {
        nonRetryable: true,
      },
    );
  }
  return handler(readHandlerInput(job), context);
}
