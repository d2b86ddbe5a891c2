import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { takeServiceSettings } from "./configuration.ts";

test("what systemd says is taken once, so that no child speaks for the service", () => {
  const environment = {
    NOTIFY_SOCKET: "/run/x",
    WATCHDOG_USEC: "30000000",
    WATCHDOG_PID: "1",
    A: "",
  };
  expect(takeServiceSettings(environment)).toEqual({ notifySocket: "/run/x", watchdogMs: 30_000 });
  expect(environment).toEqual({ A: "" });
  expect(takeServiceSettings(environment)).toEqual({
    notifySocket: undefined,
    watchdogMs: undefined,
  });
});

/** Prints the messages that come to a datagram socket; Node itself cannot open one. */
const RECEIVER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("listening", flush=True)
while True:
    text, files, _, _ = socket.recv_fds(s, 4096, 4)
    for each in files: socket.close(each)
    print(text.decode().replace("\\n", " "), flush=True)
`;
const runs = (program: string): boolean =>
  spawnSync(program, ["--version"], { stdio: "ignore" }).status === 0;
const missing = ["systemd-notify", "python3"].find((program) => !runs(program));

test.skipIf(missing !== undefined)(
  `a service says that it serves, that it lives and that it stops (needs systemd-notify, python3)`,
  async () => {
    const directory = mkdtempSync(join(tmpdir(), "notices-"));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const socket = join(directory, "socket");
    const receiver = spawn("python3", ["-c", RECEIVER, socket]);
    onTestFinished(() => {
      receiver.kill();
    });
    let said = "";
    receiver.stdout.setEncoding("utf8").on("data", (text: string) => (said += text));
    await once(receiver.stdout, "data");
    const script = `
      import { announceReady, stopRequested } from ${JSON.stringify(
        fileURLToPath(new URL("process-life.ts", import.meta.url)),
      )};
      const stop = stopRequested();
      announceReady({});
      if (process.env.NOTIFY_SOCKET !== undefined) process.exit(3);
      const alive = setInterval(() => undefined, 1_000);
      await stop;
      clearInterval(alive);`;
    const service = spawn(process.execPath, ["--input-type=module", "-e", script], {
      env: { PATH: process.env["PATH"], NOTIFY_SOCKET: socket, WATCHDOG_USEC: "400000" },
      stdio: ["ignore", "ignore", "inherit"],
    });
    await expect.poll(() => said, { timeout: 15_000 }).toContain("WATCHDOG=1");
    expect(said).toContain("READY=1");
    const ended = once(service, "exit");
    service.kill("SIGTERM");
    await expect.poll(() => said, { timeout: 15_000 }).toContain("STOPPING=1");
    expect((await ended)[0]).toBe(0);
  },
);
