import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { saveIdentity } from "@aerodb/identity";
import { openCertificateAuthority } from "@aerodb/identity/authority";
import { EXIT } from "@aerodb/runtime";
import { afterEach, beforeEach, expect, test } from "vitest";
import { throwawayIdentity } from "./throwaway-identity.ts";
import { throwawayDirectory } from "./throwaway-platform.ts";

let home: string;
let taken: Server;
let takenPort: number;
let child: ChildProcess | undefined;

beforeEach(async () => {
  home = await throwawayDirectory();
  const authority = await openCertificateAuthority(`${home}/ca`);
  saveIdentity(home, { ...(await throwawayIdentity(authority)), linkAddress: "127.0.0.1:1" });
  taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  takenPort = (taken.address() as { port: number }).port;
});

afterEach(async () => {
  child?.kill("SIGKILL");
  taken.close();
  await rm(home, { recursive: true });
});

/** Starts a real process, and collects what it says on standard error, and in its log. */
function start(values: Readonly<Record<string, string>>) {
  const said: string[] = [];
  const logged: string[] = [];
  const own = { HOME: home, API_ADDRESS: "127.0.0.1:1", REST_PORT: "0", PG_PORT: "0", ...values };
  const entries = Object.entries(own).map(([name, value]) => [`AERODB_GATEWAY_${name}`, value]);
  child = fork(new URL("main.ts", import.meta.url), [], {
    env: { PATH: process.env["PATH"], ...Object.fromEntries(entries) },
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    execArgv: ["--disable-warning=ExperimentalWarning"],
  });
  child.stderr?.on("data", (chunk: Buffer) => said.push(chunk.toString()));
  child.stdout?.on("data", (chunk: Buffer) => logged.push(chunk.toString()));
  return { said, logged };
}

async function exitCode(): Promise<number | null> {
  const [code] = (await once(child as ChildProcess, "exit")) as [number | null];
  return code;
}

test.each([
  ["REST_PORT", "--rest-port or AERODB_GATEWAY_REST_PORT"],
  ["PG_PORT", "--pg-port or AERODB_GATEWAY_PG_PORT"],
])("a taken %s is one sentence that names the port and the flag", async (name, flag) => {
  const { said } = start({ [name]: String(takenPort) });
  expect(await exitCode()).toBe(EXIT.unavailable);
  expect(said.join("")).toBe(
    `Port ${takenPort} is taken: free it, or choose another with ${flag}.\n`,
  );
});

test("an unknown variable is refused by name", async () => {
  const { said } = start({ COLOUR: "red" });
  expect(await exitCode()).toBe(EXIT.usage);
  expect(said.join("")).toContain("AERODB_GATEWAY_COLOUR means nothing here");
});

test("beside others it says that it shows a certificate that is not theirs", async () => {
  const sentence = "Give all of them the same --tls-certificate and --tls-key";
  const beside = start({ SIBLINGS_DIRECTORY: `${home}/siblings` });
  await expect.poll(() => beside.logged.join("")).toContain(sentence);
  child?.kill("SIGKILL");
  await exitCode();
  const alone = start({});
  await once(child as ChildProcess, "message");
  expect(alone.logged.join("")).not.toContain(sentence);
});

test("serves without control, announces its ports and authority, and stops when asked", async () => {
  start({});
  const [message] = await once(child as ChildProcess, "message");
  expect(message).toMatchObject({
    ready: {
      restPort: expect.any(Number),
      pgPort: expect.any(Number),
      caFile: `${home}/development-ca/ca.crt`,
    },
  });
  child?.kill("SIGTERM");
  expect(await exitCode()).toBe(0);
});
