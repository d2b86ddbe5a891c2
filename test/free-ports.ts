/** Ports for servers that tests start, free now and promised to nobody else on this machine. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Below the ephemeral range, so that no outgoing connection takes one in between. */
const FIRST = 20_000;
const LAST = 31_999;
const CLAIMS = join(tmpdir(), "aerodb-test-ports");

/** Claims `count` free ports for this process. Give them back with `releasePorts`. */
export async function freePorts(count: number): Promise<number[]> {
  mkdirSync(CLAIMS, { recursive: true });
  const ports: number[] = [];
  let port = FIRST + Math.floor(Math.random() * (LAST - FIRST));
  for (let tries = 0; ports.length < count; tries += 1) {
    if (tries > LAST - FIRST) throw new Error(`Fewer than ${count} ports are free for tests.`);
    port = port === LAST ? FIRST : port + 1;
    if (!claim(port)) continue;
    if (await isFree(port)) ports.push(port);
    else releasePorts([port]);
  }
  return ports;
}

export function releasePorts(ports: readonly number[]): void {
  for (const port of ports) rmSync(claimFile(port), { force: true });
}

/** Whether nobody listens on the port of this machine. */
export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ port, host: "127.0.0.1" }, () => server.close(() => resolve(true)));
  });
}

function claimFile(port: number): string {
  return join(CLAIMS, String(port));
}

function claim(port: number): boolean {
  try {
    writeFileSync(claimFile(port), String(process.pid), { flag: "wx" });
    return true;
  } catch {
    if (holderLives(port)) return false;
    releasePorts([port]);
    return false;
  }
}

function holderLives(port: number): boolean {
  try {
    process.kill(Number(readFileSync(claimFile(port), "utf8")), 0);
    return true;
  } catch {
    return false;
  }
}
