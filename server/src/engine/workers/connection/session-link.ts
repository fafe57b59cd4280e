import type { ServerFrame, WorkerLink } from "../../api.ts";

/** A link whose first frame is the welcome: frames that are sent while the session is being set up follow it. */
export type SessionLink = WorkerLink & {
  welcome(frame: ServerFrame): void;
  /**
   * Whether the link was full and is not any more. Called for each frame that arrives: its sender has read something.
   */
  hasRoomAgain(): boolean;
};

export function createSessionLink(wire: WorkerLink): SessionLink {
  const earlyFrames: ServerFrame[] = [];
  let isWelcome = false;
  let wasFull = false;
  const isFull = (): boolean => wire.isFull?.() === true;
  return {
    send(frame) {
      if (!isWelcome) {
        earlyFrames.push(frame);
        return;
      }
      wire.send(frame);
      wasFull ||= isFull();
    },
    end: (reason) => wire.end(reason),
    isFull,
    welcome(frame) {
      isWelcome = true;
      for (const each of [frame, ...earlyFrames.splice(0)]) wire.send(each);
    },
    hasRoomAgain() {
      if (!wasFull || isFull()) return false;
      wasFull = false;
      return true;
    },
  };
}
