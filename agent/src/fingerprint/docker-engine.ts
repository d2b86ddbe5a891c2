/**
 * Asks a Docker engine what it is. In HTTP as it is spoken: Docker's client costs a process a third
 * of its memory, and most agents have no other use for it.
 */
import { access } from "node:fs/promises";
import { request } from "node:http";
import { json } from "node:stream/consumers";
import { Fault } from "@aerodb/model";

/** A Docker engine that answers, and what it can hold a container to. */
export interface FoundDocker {
  readonly version: string;
  readonly apiVersion: string;
  readonly limits: readonly ("cpu_limit" | "memory_limit" | "pids_limit")[];
}

type Answer = Readonly<Record<string, unknown>>;

/** Undefined where there is no socket. Throws when there is one and nobody answers. */
export async function askDocker(
  socketPath: string,
  timeoutMs: number,
): Promise<FoundDocker | undefined> {
  const there = await access(socketPath).then(
    () => true,
    () => false,
  );
  if (!there) return undefined;
  const signal = AbortSignal.timeout(timeoutMs);
  const [version, about] = await Promise.all(
    ["/version", "/info"].map((path) => get(path, socketPath, signal)),
  );
  const limits = [
    ...(about?.["CpuCfsQuota"] === true ? ["cpu_limit" as const] : []),
    ...(about?.["MemoryLimit"] === true ? ["memory_limit" as const] : []),
    ...(about?.["PidsLimit"] === true ? ["pids_limit" as const] : []),
  ];
  return {
    version: String(version?.["Version"] ?? ""),
    apiVersion: String(version?.["ApiVersion"] ?? ""),
    limits,
  };
}

async function get(path: string, socketPath: string, signal: AbortSignal): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const asked = request({ socketPath, path, headers: { host: "docker" }, agent: false, signal });
  asked.once("error", reject);
  asked.once("response", (response) => {
    if (response.statusCode === 200) {
      json(response).then((body) => resolve(body as Answer), reject);
      return;
    }
    response.resume();
    reject(new Fault("UNAVAILABLE", `Docker answers ${response.statusCode} to ${path}.`));
  });
  asked.end();
  return promise;
}
