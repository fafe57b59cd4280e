/** `client.waits`: what runs wait for. By default this is the inbox: the questions to people. */
import { NoticeKind } from "@abstractruntime/proto/notice_pb";
import { RuntimeService, type WatchRunsResponse } from "@abstractruntime/proto/runtime_service_pb";
import { type WaitFilterSchema, WaitReasonSchema } from "@abstractruntime/proto/wait_pb";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { CallOptions } from "./connection.ts";
import type { ClientContext } from "./context.ts";
import { numberOf } from "./enum-names.ts";
import { RefusedError } from "./errors.ts";
import { itemsOf, type ListOptions } from "./pages.ts";
import { summaryOfMessage } from "./run.ts";
import { filterMessage } from "./runs.ts";
import { type Wait, waitOfMessage, type WaitReason } from "./wait.ts";
import { createWatch, type Watch } from "./watch.ts";

/** Selects waits. Every given member must match. */
export type WaitFilter = {
  /** One of these. Default: `user`. */
  reasons?: readonly Exclude<WaitReason, "unknown">[] | undefined;
  workflowId?: string | undefined;
  sessionId?: string | undefined;
  /** The run that waits. */
  runId?: string | undefined;
  /** A name that must be among the assignees. Waits that anyone may answer do not match. */
  assignee?: string | undefined;
  /** Labels of the runs. */
  labels?: Readonly<Record<string, string>> | undefined;
};

export type Waits = {
  /** The matching open waits, oldest first. */
  list(filter?: WaitFilter, options?: ListOptions): AsyncIterable<Wait>;
  /** A wait, open or closed.
   *  @throws {RefusedError} WAIT_UNKNOWN */
  get(waitId: string, options?: CallOptions): Promise<Wait>;
  /** The matching open waits: the existing ones, then new ones as they are opened, each once. A wait may already be
   *  closed when it is read. */
  watch(filter?: WaitFilter, options?: { signal?: AbortSignal }): Watch<Wait>;
};

/** The kinds of notice that open or close waits. */
const KINDS = [NoticeKind.WAITING, NoticeKind.RESUMED, NoticeKind.COMPLETED, NoticeKind.FAILED, NoticeKind.CANCELLED];

export function createWaits({ connection }: ClientContext): Waits {
  const list = (filter: WaitFilter, { pageSize = 0, ...options }: ListOptions): AsyncGenerator<Wait> =>
    itemsOf(async (pageToken) => {
      const request = { filter: waitFilterMessage(filter), pageSize, pageToken };
      const reply = await connection.unary(RuntimeService.method.listWaits, request, { ...options, retry: true });
      return { items: reply.waits.map(waitOfMessage), nextPageToken: reply.nextPageToken };
    });

  /** Reads the position of the feed, then the list, then the feed from that position. A wait that is opened meanwhile
   *  is in the list, in the feed, or in both. The feed is not read at the same time as the list: a notice has its run
   *  as it is when the notice is sent, so what the feed says is never older than the list. */
  async function* watchOnce(
    filter: WaitFilter,
    seen: SeenWaits,
    signal: AbortSignal,
    onOpen: () => void,
  ): AsyncGenerator<Wait> {
    const { workflowId, sessionId, labels } = filter;
    const request = { filter: filterMessage({ workflowId, sessionId, labels }), kinds: KINDS };
    const watchRuns = RuntimeService.method.watchRuns;
    let cursor = "";
    const feed = () => connection.follow(watchRuns, () => ({ ...request, cursor }), { signal, endless: true });
    cursor = await cursorOf(feed());
    onOpen();
    for await (const wait of list(filter, { signal, pageSize: LIST_PAGE })) if (seen.isNew(wait)) yield wait;
    for await (const message of feed()) {
      ({ cursor } = message);
      if (message.event.case !== "notice" || message.event.value.run === undefined) continue;
      const run = summaryOfMessage(message.event.value.run);
      if (run.status !== "waiting") seen.forget(run.runId);
      else if (matches(run.waiting, filter) && seen.isNew(run.waiting)) yield run.waiting;
    }
  }

  return {
    list: (filter = {}, options = {}) => list(filter, options),

    async get(waitId, options = {}) {
      const reply = await connection.unary(RuntimeService.method.getWait, { waitId }, { ...options, retry: true });
      if (reply.wait === undefined) throw new Error("the server sent a reply without the wait");
      return waitOfMessage(reply.wait);
    },

    watch(filter = {}, { signal } = {}) {
      return createWatch<Wait>(
        async function* waits(leaving, onOpen) {
          const seen = createSeenWaits();
          for (;;) {
            try {
              yield* watchOnce(filter, seen, leaving, onOpen);
            } catch (error) {
              // The position is no longer kept, but the open waits can be listed again.
              if (!(error instanceof RefusedError && error.reason === "CURSOR_EXPIRED")) throw error;
            }
          }
        },
        { signal, isClosed: connection.isClosed },
      );
    },
  };
}

/** The position of a feed when it is opened. A server sends it first. */
async function cursorOf(feed: AsyncGenerator<WatchRunsResponse>): Promise<string> {
  const first = await feed.next();
  await feed.return(undefined);
  return first.done === true ? "" : first.value.cursor;
}

/** The whole list is read, and a few large pages cost less than many small ones. */
const LIST_PAGE = 1_000;

type SeenWaits = { isNew(wait: Wait): boolean; forget(runId: string): void };

/** Remembers the last wait of every run that still waits, so that no wait is returned twice. A run has one open wait at
 *  a time, and its waits arrive in order. */
function createSeenWaits(): SeenWaits {
  const waitIdByRun = new Map<string, string>();
  return {
    isNew({ runId, waitId }) {
      const isNew = waitIdByRun.get(runId) !== waitId;
      waitIdByRun.set(runId, waitId);
      return isNew;
    },
    forget: (runId) => waitIdByRun.delete(runId),
  };
}

/** Checks the members that the filter of runs does not have. */
function matches(wait: Wait, { reasons = ["user"], runId, assignee }: WaitFilter): boolean {
  if (!reasons.some((reason) => reason === wait.reason)) return false;
  if (runId !== undefined && runId !== wait.runId) return false;
  return assignee === undefined || wait.assignees.includes(assignee);
}

function waitFilterMessage(filter: WaitFilter): MessageInitShape<typeof WaitFilterSchema> {
  return {
    reasons: (filter.reasons ?? []).map((reason) => numberOf(WaitReasonSchema, reason)),
    workflowId: filter.workflowId ?? "",
    sessionId: filter.sessionId ?? "",
    runId: filter.runId ?? "",
    assignee: filter.assignee ?? "",
    labels: { ...filter.labels },
  };
}
