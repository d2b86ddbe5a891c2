/** The front door: who is let in, and what those who are not can learn or hold up. */
import { connect as connectSocket, type Socket } from "node:net";
import { encodeStartupMessage } from "@aerodb/postgres";
import pg from "pg";
import { queryOnce } from "../../platform-client.ts";
import { knock, platformFamily, type Stage } from "../platform-case.ts";

const WRONG = ["28P01"];

/** What is said to who knocks, with the refusal of a wrong password to compare it with. */
async function told(stage: Stage, over: pg.ClientConfig): Promise<string> {
  const said = async (each: pg.ClientConfig) => {
    const { host, port, database, user, password } = stage.attacker.connection;
    const client = new pg.Client({ host, port, database, user, password, ...each });
    client.on("error", () => undefined);
    try {
      await client.connect();
      await client.end();
      return "in";
    } catch (error) {
      const { code, message } = error as pg.DatabaseError;
      return `${code} ${message}`;
    }
  };
  const [here, there] = [await said({ password: "wrong" }), await said(over)];
  return here === there ? "same" : there;
}

const unknown = (over: pg.ClientConfig) => ({
  attack: (stage: Stage) => told(stage, over),
  safe: ["same"],
});

const database = (name: string) => unknown({ database: name });
const starting = (options: string) => ({
  attack: (stage: Stage) => knock(stage, { options }),
  safe: ["0A000", "42501", "22023", "28000", "55P02", "08P01"],
});

function openSocket({ platform }: Stage): Socket {
  const socket = connectSocket({ host: "127.0.0.1", port: platform.pgPort });
  return socket.on("error", () => undefined);
}

/** Whether the neighbour is served while sockets that said something are left open. */
async function servedDuring(stage: Stage, count: number, said: Buffer): Promise<string> {
  const sockets = Array.from({ length: count }, () => openSocket(stage));
  try {
    for (const socket of sockets) socket.write(said);
    const rows = await queryOnce(stage.victim.connection.uri, "select 1 as one");
    return rows.length === 1 ? "served" : "refused";
  } finally {
    for (const socket of sockets) socket.destroy();
  }
}

const served = (count: number, said: Buffer) => ({
  attack: (stage: Stage) => servedDuring(stage, count, said),
  safe: ["served"],
});

const startup = (parameters: Readonly<Record<string, string>>) =>
  encodeStartupMessage({ minor: 0, parameters: Object.entries(parameters) });

export const DOORS = platformFamily("doors", WRONG, {
  superuser: (stage) => knock(stage, { user: "aerodb_root" }),
  group: (stage) => knock(stage, { user: "aerodb_tenants" }),
  meter: (stage) => knock(stage, { user: "aerodb_meter" }),
  pool: (stage) => knock(stage, { user: "aerodb_pool" }),
  canary: (stage) => knock(stage, { user: "aerodb_canary" }),
  stranger: (stage) => knock(stage, { user: "nobody-here" }),
  neighbours_database: (stage) => knock(stage, { database: stage.victim.name }),
  neighbours_role: (stage) => knock(stage, { user: stage.victim.connection.user }),
  neighbours_role_and_database: (stage) =>
    knock(stage, { database: stage.victim.name, user: stage.victim.connection.user }),
  other_server: (stage) => knock(stage, { database: stage.second.name }),
  own_password_elsewhere: (stage) =>
    knock(stage, {
      ...stage.first.connection,
      database: stage.second.name,
      user: stage.second.connection.user,
    }),
  injected_user: (stage) => knock(stage, { user: "x' or '1'='1" }),
  upper_case_user: (stage) => knock(stage, { user: stage.attacker.connection.user.toUpperCase() }),
  padded_user: (stage) => knock(stage, { user: `${stage.attacker.connection.user} ` }),
  database_postgres: database("postgres"),
  database_template: database("template1"),
  database_of_platform: database("aerodb"),
  database_unknown: database("no-such-tenant"),
  database_path: database("../victim"),
  startup_role: starting("-c role=aerodb_root"),
  startup_session: starting("-c session_authorization=aerodb_root"),
  startup_tag: starting("-c app.tenant_id=ten_other"),
  startup_libraries: starting("-c local_preload_libraries=evil"),
  startup_session_libraries: starting("-c session_preload_libraries=evil"),
  startup_standby: starting("-c session_replication_role=replica"),
  startup_bare: starting("--role=aerodb_root"),
  replication: {
    attack: (stage) => knock(stage, { replication: "database" }),
    safe: ["0A000", "22023", "42501", "28000"],
  },
  physical_replication: {
    attack: (stage) => knock(stage, { replication: "true" }),
    safe: ["0A000", "22023", "42501", "28000"],
  },
  half_open: served(100, Buffer.alloc(0)),
  half_said: served(100, startup({ user: "x", database: "y" }).subarray(0, 10)),
  noise: served(50, Buffer.from("GET / HTTP/1.1\r\nhost: x\r\n\r\n")),
  huge_length: served(50, Buffer.from([0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0])),
  negative_length: served(50, Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 3, 0, 0])),
  no_terminator: served(20, Buffer.from([0, 0, 0, 12, 0, 3, 0, 0, 0x75, 0x73, 0x65, 0x72])),
  many_parameters: served(
    10,
    startup(Object.fromEntries(Array.from({ length: 500 }, (_, n) => [`a${n}`, "b"]))),
  ),
  guessed_cancels: served(100, Buffer.from([0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 1, 0, 0, 0, 1])),
});
