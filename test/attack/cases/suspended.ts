/** A tenant that is being suspended tries to stay, or to come back, by every way there is. */
import { connect as connectSocket } from "node:net";
import { connectTenant, encodeCancelRequest } from "@aerodb/postgres";
import { sleep } from "@aerodb/runtime";
import pg from "pg";
import { openInstanceOf, roleOf, sessionsOf } from "../../inside-instances.ts";
import { connectionError, type Tenant } from "../../platform-client.ts";
import { codeOf, outcomeOf } from "../attempt.ts";
import { platformFamily, type Stage } from "../platform-case.ts";

interface Evasion {
  readonly stage: Stage;
  readonly tenant: Tenant;
  readonly socketDirectory: string;
  readonly suspend: () => Promise<void>;
}

/** Looks for a while, for who was let in just before may show up late. */
async function whoIsIn(root: pg.Client, tenant: Tenant): Promise<string> {
  for (let looks = 0; looks < 40; looks += 1) {
    if ((await sessionsOf(root, tenant)) > 0) return "in";
    await sleep(25);
  }
  return (await roleOf(root, tenant))?.rolcanlogin === false ? "out" : "may log in";
}

/** Whether a tenant of its own is out after it was suspended meanwhile. */
function evading(evade: (evasion: Evasion) => Promise<string | undefined>) {
  return async (stage: Stage): Promise<string> => {
    const name = `evader-${crypto.randomUUID().slice(0, 8)}`;
    const tenant = await stage.platform.createTenant({ name });
    const { root, socketDirectory } = await openInstanceOf(stage.platform, tenant);
    const suspend = async () => {
      const path = `/v1/tenants/${name}:suspend`;
      const { status } = await stage.platform.request("POST", path, { reason: "abuse" });
      if (status !== 200) throw new Error(`Suspending ${name} answered ${status}.`);
    };
    const came = await evade({ stage, tenant, socketDirectory, suspend });
    return came ?? (await whoIsIn(root, tenant));
  };
}

/** Everything a server says until it ends the connection. */
async function saidOn(socket: ReturnType<typeof connectSocket>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("latin1");
}

/** The outcome that all of several attempts have, or the first that is another. */
async function each(client: pg.Client, statements: readonly string[]): Promise<string> {
  const outcomes: string[] = [];
  for (const statement of statements) outcomes.push(await outcomeOf(client, statement));
  return outcomes.find((outcome) => outcome !== "42501") ?? "42501";
}

export const SUSPENDED = platformFamily("suspended", ["out"], {
  login_under_way: evading(async ({ stage, tenant, suspend }) => {
    const { user, database, password } = tenant.connection;
    // It is asked for its password, and takes its time.
    const slowly = () => suspend().then(() => password);
    const where = { host: "127.0.0.1", port: stage.platform.pgPort, user, database };
    const client = new pg.Client({ ...where, password: slowly });
    client.on("error", () => undefined);
    const said = await client.connect().then(
      () => "in",
      (error: Error) => error.message,
    );
    return said.includes(`the tenant ${tenant.name} is suspended`) ? undefined : said;
  }),
  storm: evading(async ({ tenant, suspend }) => {
    let storming = true;
    const stormers = Array.from({ length: 10 }, async () => {
      while (storming) {
        const client = new pg.Client({ connectionString: tenant.connection.uri });
        client.on("error", () => undefined);
        const act = client.connect().then(() => client.query("begin; select pg_sleep(0.01)"));
        await act.catch(() => undefined);
        await client.end().catch(() => undefined);
      }
    });
    await sleep(500);
    await suspend();
    await sleep(500);
    storming = false;
    await Promise.all(stormers);
    return undefined;
  }),
  role_held: evading(async ({ stage, tenant, suspend }) => {
    const client = await stage.platform.connect(tenant.connection.uri);
    await client.query("begin; alter role current_user password 'another-password-of-its-own'");
    await suspend();
    const { code } = await connectionError(tenant.connection.uri);
    return code === "28000" ? undefined : code;
  }),
  login_given_back: {
    attack: evading(async ({ stage, tenant, suspend }) => {
      const own = await stage.platform.connect(tenant.connection.uri);
      const before = await each(own, [
        `alter role "${tenant.tenant_id}" login`,
        `alter role "${tenant.tenant_id}" valid until 'infinity'`,
        `grant "${tenant.tenant_id}" to "${stage.attacker.tenant_id}"`,
        "create role another login",
      ]);
      await suspend();
      const theirs = await stage.platform.connect(stage.attacker.connection.uri);
      const after = await each(theirs, [
        `alter role "${tenant.tenant_id}" login`,
        `set role "${tenant.tenant_id}"`,
        `set session authorization "${tenant.tenant_id}"`,
      ]);
      await theirs.end();
      return before === after ? before : `${before} ${after}`;
    }),
    safe: ["42501"],
  },
  past_gateways: evading(async ({ tenant, socketDirectory, suspend }) => {
    const { password } = tenant.connection;
    const login = { socketDirectory, password, tenantId: tenant.tenant_id };
    const direct = await connectTenant(login);
    await suspend();
    const served = await direct.query("select 1").then(
      () => true,
      () => false,
    );
    const again = await connectTenant(login).then(
      () => "in",
      (error: Error) => codeOf(error),
    );
    return served || again !== "28000" ? `${served} ${again}` : undefined;
  }),
  cancels: {
    attack: evading(async ({ stage, tenant, suspend }) => {
      const theirs = await stage.platform.connect(stage.victim.connection.uri);
      const client = await stage.platform.connect(tenant.connection.uri);
      const { processID, secretKey } = client as unknown as Record<string, number>;
      await suspend();
      const sleeping = outcomeOf(theirs, "select pg_sleep(0.5)");
      const secret = Buffer.alloc(4);
      secret.writeInt32BE(secretKey ?? 0);
      const socket = connectSocket({ host: "127.0.0.1", port: stage.platform.pgPort });
      socket.write(encodeCancelRequest({ processId: processID ?? 0, secret }));
      const said = await saidOn(socket);
      const outcome = await sleeping;
      await theirs.end();
      return said === "" ? outcome : said;
    }),
    safe: ["some"],
  },
  own_key: evading(async ({ stage, tenant, suspend }) => {
    const scopes = [`tenant:${tenant.tenant_id}`];
    const { body } = await stage.platform.request("POST", "/v1/keys", { name: "own", scopes });
    await suspend();
    const headers = { authorization: `Bearer ${body.secret}` };
    for (const what of [":reinstate", ":restart", "/credentials:rotate"]) {
      const path = `/v1/tenants/${tenant.name}${what}`;
      const { status } = await stage.platform.request("POST", path, {}, headers);
      if (![400, 403, 409].includes(status)) return `${what} ${status}`;
    }
    const path = `/v1/tenants/${tenant.name}`;
    const { status } = await stage.platform.request("DELETE", path, undefined, headers);
    return [400, 403, 409].includes(status) ? undefined : `DELETE ${status}`;
  }),
});
