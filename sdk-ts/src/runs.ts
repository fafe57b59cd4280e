/** `client.runs`: reads, explains, lists and watches runs. */
import { NoticeKindSchema } from "@abstractruntime/proto/notice_pb";
import { RunOrder, RunStatusSchema, type RunFilterSchema, RunView } from "@abstractruntime/proto/run_pb";
import { RuntimeService } from "@abstractruntime/proto/runtime_service_pb";
import { WaitReasonSchema } from "@abstractruntime/proto/wait_pb";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { CallOptions } from "./connection.ts";
import type { ClientContext } from "./context.ts";
import { numberOf } from "./enum-names.ts";
import { RefusedError } from "./errors.ts";
import { given } from "./given.ts";
import type { Json, JsonObject } from "./json.ts";
import { itemsOf, type ListOptions } from "./pages.ts";
import {
  type Notice,
  type NoticeKind,
  noticeOfMessage,
  type Run,
  runOfMessage,
  type RunReference,
  type RunStatus,
  type RunSummary,
  summaryOfMessage,
} from "./run.ts";
import { explanationOfMessage, type RunExplanation } from "./run-explanation.ts";
import { timestampOf } from "./time.ts";
import type { WaitReason } from "./wait.ts";
import { createWatch, type Watch } from "./watch.ts";

/** Selects runs. Every given member must match. */
export type RunFilter = {
  workflowId?: string | undefined;
  /** Needs `workflowId`. */
  version?: number | undefined;
  /** One of these. */
  statuses?: readonly RunStatus[] | undefined;
  sessionId?: string | undefined;
  /** Who started the run. */
  actorId?: string | undefined;
  parentRunId?: string | undefined;
  rootRunId?: string | undefined;
  labels?: Readonly<Record<string, string>> | undefined;
  paused?: boolean | undefined;
  /** What the run waits for: one of these. */
  waitingReasons?: readonly Exclude<WaitReason, "unknown">[] | undefined;
  /** Started at this time or later. */
  createTimeAfter?: Date | string | undefined;
  /** Started before this time. */
  createTimeBefore?: Date | string | undefined;
};

export type RunOrderName = "newest" | "oldest" | "last-changed";

export type Runs = {
  /** @throws {RefusedError} RUN_UNKNOWN */
  get<Output = Json>(run: string | RunReference<Output>, options?: CallOptions): Promise<Run<JsonObject, Output>>;
  /**
   * Why a run is where it is, and what would move it next: for people who look after runs.
   * @throws {RefusedError} RUN_UNKNOWN
   */
  explain(run: string | RunReference, options?: CallOptions): Promise<RunExplanation>;
  /** The matching runs, as they are when their page is read. Default order: newest first. */
  list(filter?: RunFilter, options?: ListOptions & { order?: RunOrderName }): AsyncIterable<RunSummary>;
  /** What happens to the matching runs, from now on or from a cursor. Ends with the refusal CURSOR_EXPIRED if the
   *  position of the cursor is no longer kept.
   *  @param options.kinds default: all
   *  @param options.cursor the cursor of the last notice seen; `beginning` starts with the oldest notice that is
   *  kept */
  watch(
    filter?: RunFilter,
    options?: { kinds?: readonly Exclude<NoticeKind, "unknown">[]; cursor?: string; signal?: AbortSignal },
  ): Watch<Notice>;
  /** Deletes a run that has ended, with its ledger. Its id is never used again.
   *  @throws {RefusedError} RUN_UNKNOWN, RUN_NOT_ENDED */
  delete(run: string | RunReference, options?: CallOptions): Promise<void>;
};

const ORDERS: Readonly<Record<RunOrderName, RunOrder>> = {
  newest: RunOrder.CREATE_TIME_DESC,
  oldest: RunOrder.CREATE_TIME_ASC,
  "last-changed": RunOrder.UPDATE_TIME_DESC,
};

export function createRuns({ connection }: ClientContext): Runs {
  return {
    async get<Output>(run: string | RunReference<Output>, options: CallOptions = {}) {
      const request = { runId: runIdOf(run), view: RunView.FULL };
      const reply = await connection.unary(RuntimeService.method.getRun, request, { ...options, retry: true });
      return runOfMessage<JsonObject, Output>(reply.run);
    },

    async explain(run, options = {}) {
      const request = { runId: runIdOf(run) };
      const reply = await connection.unary(RuntimeService.method.explainRun, request, { ...options, retry: true });
      return explanationOfMessage(reply.explanation);
    },

    list(filter = {}, { order = "newest", pageSize = 0, ...options } = {}) {
      const request = { filter: filterMessage(filter), order: ORDERS[order], pageSize };
      return itemsOf(async (pageToken) => {
        const list = RuntimeService.method.listRuns;
        const reply = await connection.unary(list, { ...request, pageToken }, { ...options, retry: true });
        return { items: reply.runs.map(summaryOfMessage), nextPageToken: reply.nextPageToken };
      });
    },

    watch(filter = {}, { kinds = [], cursor = "", signal } = {}) {
      const request = {
        filter: filterMessage(filter),
        kinds: kinds.map((kind) => numberOf(NoticeKindSchema, kind)),
      };
      let position = cursor;
      return createWatch<Notice>(
        async function* notices(leaving, onOpen) {
          const messages = connection.follow(
            RuntimeService.method.watchRuns,
            () => ({ ...request, cursor: position }),
            { signal: leaving, endless: true },
          );
          for await (const message of messages) {
            position = message.cursor;
            onOpen();
            if (message.event.case !== "notice") continue;
            const notice = noticeOfMessage(message.event.value, message.cursor);
            if (notice !== undefined) yield notice;
          }
        },
        { signal, isClosed: connection.isClosed },
      );
    },

    async delete(run, options = {}) {
      let mayBeDone = false;
      const onUnknownOutcome = (): void => {
        mayBeDone = true;
      };
      const request = { runId: runIdOf(run) };
      try {
        const call = { ...options, retry: true, onUnknownOutcome };
        await connection.unary(RuntimeService.method.deleteRun, request, call);
      } catch (error) {
        // By the contract, RUN_UNKNOWN after a lost first attempt means that the first attempt deleted the run.
        if (!(mayBeDone && error instanceof RefusedError && error.reason === "RUN_UNKNOWN")) throw error;
      }
    },
  };
}

export function runIdOf(run: string | RunReference): string {
  return typeof run === "string" ? run : run.runId;
}

export function filterMessage(filter: RunFilter): MessageInitShape<typeof RunFilterSchema> {
  const { statuses = [], waitingReasons = [], createTimeAfter, createTimeBefore, paused } = filter;
  return {
    workflowId: filter.workflowId ?? "",
    version: filter.version ?? 0,
    statuses: statuses.map((status) => numberOf(RunStatusSchema, status)),
    sessionId: filter.sessionId ?? "",
    actorId: filter.actorId ?? "",
    parentRunId: filter.parentRunId ?? "",
    rootRunId: filter.rootRunId ?? "",
    labels: { ...filter.labels },
    waitingReasons: waitingReasons.map((reason) => numberOf(WaitReasonSchema, reason)),
    ...given({
      paused,
      createTimeAfter: createTimeAfter === undefined ? undefined : timestampOf(createTimeAfter, "createTimeAfter"),
      createTimeBefore: createTimeBefore === undefined ? undefined : timestampOf(createTimeBefore, "createTimeBefore"),
    }),
  };
}
