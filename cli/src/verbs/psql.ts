/** `aerodb psql <tenant>`: a session in a tenant's database. */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { Fault } from "@aerodb/model";
import type { Connection, Tenant } from "@aerodb/rpc/aerodb/control/v1/tenant_service_pb.js";
import { EXIT } from "@aerodb/runtime";
import type { Command } from "commander";
import { userEnvironment } from "../config.ts";
import { findCredentials, keepCredentials } from "../credentials.ts";
import { showProgress } from "../progress.ts";
import { openSession, type Session } from "../session.ts";

export function addPsql(program: Command): void {
  program
    .command("psql <tenant> [arguments...]")
    .description("open psql as a tenant, by name or id; what follows -- goes to psql")
    .option("--rotate", "give the tenant a new password first, when the old one is not known here")
    .addHelpText("after", '\nExamples:\n  aerodb psql acme\n  aerodb psql acme -- -c "select 1"')
    .action(
      async (
        tenant: string,
        rest: readonly string[],
        flags: { readonly rotate?: boolean },
        command: Command,
      ) => {
        const session = openSession(command);
        const { connection, uri } = await findEndpoint(session, tenant, flags.rotate === true);
        process.exitCode = await runPsql(connection, uri, rest);
      },
    );
}

interface Endpoint {
  readonly connection: Connection;
  /** With the password, if it is known here. */
  readonly uri: string | undefined;
}

async function findEndpoint(session: Session, name: string, rotate: boolean): Promise<Endpoint> {
  const { api, settings } = session;
  const asked: Promise<{ readonly tenant?: Tenant | undefined }> = rotate
    ? api.tenants.rotateCredentials({ tenant: name })
    : api.tenants.getTenant({ tenant: name });
  const { tenant } = await showProgress(`looking up ${name}`, asked);
  if (tenant?.connection === undefined) {
    throw new Fault("TENANT_NOT_ACTIVE", `${name} has no connection yet: it is ${tenant?.status}.`);
  }
  const { tenantId, connection } = tenant;
  if (connection.password !== "") {
    keepCredentials(settings.home, { tenantId, name: tenant.name, uri: connection.uri });
  }
  return { connection, uri: findCredentials(settings.home, tenantId) };
}

async function runPsql(
  { host, port, database, user }: Connection,
  uri: string | undefined,
  rest: readonly string[],
): Promise<number> {
  if (uri === undefined) {
    process.stderr.write(
      "The password is not known here: it was shown when the tenant was created. " +
        "Type it, or use --rotate for a new one.\n",
    );
  }
  const password =
    uri === undefined ? {} : { PGPASSWORD: decodeURIComponent(new URL(uri).password) };
  const where = ["-h", host, "-p", String(port), "-U", user, "-d", database];
  // Ctrl-C is for psql: it cancels the query there.
  process.on("SIGINT", () => undefined);
  const child = spawn("psql", [...where, ...rest], {
    stdio: "inherit",
    env: { ...userEnvironment(), ...password },
  });
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  child.once("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") resolve(sayHowToInstall(host, port, database, user, uri));
    else reject(error);
  });
  child.once("exit", (code, signal) => {
    resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
  });
  return promise;
}

function sayHowToInstall(
  host: string,
  port: number,
  database: string,
  user: string,
  uri: string | undefined,
): number {
  process.stdout.write(`${uri ?? `postgres://${user}@${host}:${port}/${database}`}\n`);
  process.stderr.write(
    "aerodb: psql is not installed. Use the URI above with another client, or install psql " +
      "(Debian, Ubuntu: apt-get install postgresql-client; macOS: brew install libpq).\n",
  );
  return EXIT.failed;
}
