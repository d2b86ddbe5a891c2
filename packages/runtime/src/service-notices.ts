/**
 * What a service tells systemd, where systemd started it and asked to be told: that it serves, that
 * it stops, and now and then that it is not stuck. Said by `systemd-notify`, which comes with
 * systemd: Node has no datagrams of unix sockets.
 */
import { spawn } from "node:child_process";
import { later } from "./clock.ts";
import { takeServiceSettings } from "./configuration.ts";

const PROGRAM = "systemd-notify";
/** A machine that is too busy to deliver a message in this time loses it. */
const DELIVERY_MS = 10_000;

export interface ServiceNotices {
  ready(): void;
  stopping(): void;
}

const NOBODY: ServiceNotices = { ready: () => undefined, stopping: () => undefined };
let notices: ServiceNotices | undefined;

/** The one way of this process to systemd; says nothing where nobody listens. */
export function serviceNotices(): ServiceNotices {
  notices ??= openServiceNotices();
  return notices;
}

function openServiceNotices(): ServiceNotices {
  const { notifySocket, watchdogMs } = takeServiceSettings();
  if (notifySocket === undefined) return NOBODY;
  const say = (...words: readonly string[]): void => notify(notifySocket, words);
  /** Twice within the time: one may be late. Who is stuck says nothing, and is started anew. */
  function keepAlive(): void {
    if (watchdogMs === undefined) return;
    later(watchdogMs / 2, () => {
      say("WATCHDOG=1");
      keepAlive();
    });
  }
  return {
    ready() {
      say("READY=1", "STATUS=Serving.");
      keepAlive();
    },
    stopping: () => say("STOPPING=1"),
  };
}

/** A message that is not delivered harms nobody but who waits for it: systemd says so itself. */
function notify(socket: string, words: readonly string[]): void {
  const child = spawn(PROGRAM, [...words], {
    env: { NOTIFY_SOCKET: socket, PATH: "/usr/bin:/bin" },
    stdio: "ignore",
  });
  const cancel = later(DELIVERY_MS, () => child.kill("SIGKILL"));
  child.on("error", cancel);
  child.on("exit", cancel);
  child.unref();
}
