import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { connectPlatform } from "./connection.ts";
import { connectInstance } from "./instance-socket.ts";
import { socketPath } from "./names.ts";
import { answers } from "./postmaster-probe.ts";

let directory: string;
let neighbour: string;
let own: string;
let server: Server;
let reached: number;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "socket-"));
  neighbour = join(directory, "neighbour");
  own = join(directory, "own");
  for (const each of [neighbour, own]) mkdirSync(each);
  reached = 0;
  server = createServer((socket) => {
    reached += 1;
    socket.end("N");
  });
  server.listen(socketPath(neighbour));
  await once(server, "listening");
});
afterEach(() => {
  server.close();
  rmSync(directory, { recursive: true });
});

/** What a connection to a directory's socket came to: what was said, or why there is none. */
async function said(socketDirectory: string): Promise<string> {
  const socket = connectInstance(socketDirectory);
  try {
    const [bytes] = (await once(socket, "data")) as [Buffer];
    return bytes.toString();
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? (error as Error).message;
  } finally {
    socket.destroy();
  }
}

test("an instance is reached over its own socket", async () => {
  expect(await said(neighbour)).toBe("N");
  expect(await said(own)).toBe("ENOENT");
});

test("a link to a neighbour's socket leads nobody there", async () => {
  symlinkSync(socketPath(neighbour), socketPath(own));
  expect(await said(own)).toBe(`${socketPath(own)} is no socket`);
  await expect(connectPlatform({ socketDirectory: own, password: "any" })).rejects.toThrow(
    "is no socket",
  );
  expect(await answers(own, 1_000)).toBe(false);
  expect(reached).toBe(0);
});

test.each([
  ["a pipe", (path: string) => execFileSync("mkfifo", [path])],
  ["a file", (path: string) => writeFileSync(path, "")],
])("%s in place of a socket is refused at once", async (_what, put) => {
  put(socketPath(own));
  expect(await said(own)).toBe(`${socketPath(own)} is no socket`);
});
