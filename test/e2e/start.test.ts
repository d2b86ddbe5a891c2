import { statSync } from "node:fs";
import { join } from "node:path";
import { monotonicMs } from "@aerodb/runtime";
import { describe, expect, onTestFinished, test } from "vitest";
import { freePorts, releasePorts } from "../free-ports.ts";
import { platformOfThisTest, usePlatform } from "../platform.ts";
import { missesNothing, queryOnce, type Tenant } from "../platform-client.ts";
import { processesOf, signal } from "../processes.ts";
import { AERODB, type Ended, isInstalled, run } from "../program.ts";
import { until } from "../until.ts";

const platform = usePlatform({ agents: 2, ownEngines: true });
const psql = isInstalled("psql");

/** `aerodb up` that is expected to refuse. */
function up(home: string, environment: Readonly<Record<string, string>>): Promise<Ended> {
  return run(process.execPath, [AERODB, "up", "--home", home], { environment });
}

/** A command that `up` printed, with its continuation lines, as a person would copy it. */
function printedCommand(program: string): string {
  const lines = platform().output.split("\n");
  const first = lines.findIndex((line) => line.trim().startsWith(`${program} `));
  expect(first, `a line that starts with ${program} in:\n${platform().output}`).not.toBe(-1);
  const end = lines.findIndex((line, at) => at >= first && !line.trimEnd().endsWith("\\"));
  return lines
    .slice(first, end + 1)
    .join("\n")
    .trim();
}

describe("what `aerodb up` says", () => {
  test("names the addresses, the platform key and the two commands to paste", async () => {
    const { restUrl, grpcAddress, pgPort, key } = platform();
    for (const expected of [restUrl, grpcAddress, `127.0.0.1:${pgPort}`, key]) {
      await until(`"${expected}" to be printed`, () => platform().output.includes(expected));
    }
  });

  test("prints a curl that creates a tenant as pasted", async () => {
    await until("the commands to be printed", () => /^\s*psql /m.test(platform().output));
    const made = await run("bash", ["-c", printedCommand("curl")]);
    const tenant: Tenant = JSON.parse(made.stdout);
    expect(tenant.status).toBe("active");
    expect(await queryOnce(tenant.connection.uri, "select 1 as one")).toEqual([{ one: 1 }]);
  });

  test.runIf(psql)("prints a psql that opens a session in that tenant as pasted", async () => {
    const ended = await run("bash", ["-c", `${printedCommand("psql")} -XAt`], {
      input: "select 'inside';",
    });
    expect(ended).toMatchObject({ code: 0, stdout: "inside\n" });
  });

  test("keeps the key in a file that only its owner can read", () => {
    const file = statSync(join(platform().home, "platform-key"));
    expect(file.mode & 0o777).toBe(0o600);
    expect(platform().key.length).toBeGreaterThanOrEqual(16);
  });
});

describe("`aerodb up` that cannot start", () => {
  test("says so when another one runs on the same home, and leaves that one alone", async () => {
    const ended = await up(platform().home, {});
    expect(ended.code).not.toBe(0);
    expect(ended.stderr + ended.stdout).toMatch(/already run|another/i);
    expect(ended.stderr).not.toMatch(/\n\s+at /);
    expect((await fetch(`${platform().restUrl}/readyz`)).status).toBe(200);
  });

  test.for([
    ["AERODB_REST_PORT", "--rest-port", "restPort"],
    ["AERODB_GRPC_PORT", "--grpc-port", "grpcPort"],
    ["AERODB_PG_PORT", "--pg-port", "pgPort"],
    ["AERODB_LINK_PORT", "--link-port", "linkPort"],
  ] as const)("names the port and %s when it is taken", async ([variable, flag, which]) => {
    const home = join(platform().home, "..", "second-home");
    const taken = platform()[which];
    const [rest, grpc, pg, link] = (await freePorts(4)).map(String) as [
      string,
      string,
      string,
      string,
    ];
    const ports = { AERODB_REST_PORT: rest, AERODB_GRPC_PORT: grpc, AERODB_PG_PORT: pg };
    const given = { ...ports, AERODB_LINK_PORT: link, [variable]: String(taken) };
    const ended = await up(home, given);
    releasePorts([rest, grpc, pg, link].map(Number));
    expect(ended.code).not.toBe(0);
    const sentence = ended.stderr.trim();
    expect(sentence).toContain(String(taken));
    expect(sentence).toContain(flag);
    expect(sentence.split("\n")).toHaveLength(1);
    expect(processesOf([home])).toEqual([]);
  });

  test("refuses a variable it does not know, by name", async () => {
    const home = join(platform().home, "..", "second-home");
    const ended = await up(home, { AERODB_REST_PROT: "8081" });
    expect(ended.code).toBe(2);
    expect(ended.stderr).toContain("AERODB_REST_PROT");
  });

  test("refuses a preset platform key that is too short to be one", async () => {
    const home = join(platform().home, "..", "second-home");
    const ended = await up(home, { AERODB_PLATFORM_KEY: "short" });
    expect(ended.code).not.toBe(0);
    expect(ended.stderr).toContain("AERODB_PLATFORM_KEY");
    expect(ended.stderr).toContain("16");
  });
});

describe("a platform that runs", () => {
  test("shows both agents as connected hosts of the region", async () => {
    const { body } = await platform().request("GET", "/v1/hosts");
    expect(body.hosts).toHaveLength(2);
    for (const host of body.hosts) {
      expect(host).toMatchObject({ connected: true, region: "us-east-1" });
      expect(host.host_id).toMatch(/^hst_[0-9a-z]{26}$/);
    }
  });

  test("serves and says what is missing while no host could take a tenant", async () => {
    signal(platform().upPid, "SIGSTOP");
    try {
      platform().kill("agents");
      const answer = await until("readyz to miss something", async () => {
        const asked = await platform().request("GET", "/readyz");
        return asked.body.degraded === true ? asked : undefined;
      });
      expect(answer.status).toBe(200);
      expect(JSON.stringify(answer.body)).toMatch(/host|agent/i);
      expect((await platform().request("GET", "/livez")).status).toBe(200);
    } finally {
      signal(platform().upPid, "SIGCONT");
    }
    await platform().ready();
    await platform().createTenant({ name: "right-after-ready" });
  });

  test.runIf(psql)(
    "lets in who requires TLS, and who verifies it with the printed CA",
    async () => {
      const tenant = await platform().createTenant({ name: "verified" });
      const [, file = ""] = /(\/\S+\.(?:crt|pem))/.exec(platform().output) ?? [];
      expect(file, "a CA file in what `up` printed").not.toBe("");
      for (const environment of [
        { PGSSLMODE: "require" },
        { PGSSLMODE: "verify-full", PGSSLROOTCERT: file, PGHOST: "localhost" },
      ]) {
        const uri = tenant.connection.uri.replace("127.0.0.1", "localhost");
        const words = ["-XAtc", "select 'in'", uri];
        const ended = await run("psql", words, { environment });
        expect(ended).toMatchObject({ code: 0, stdout: "in\n" });
      }
    },
  );
});

describe("Ctrl-C and a second start", () => {
  test("stops all within 10 s, then brings every tenant back with its data and its key", async () => {
    const shared = await platform().createTenant({ name: "back-shared" });
    const dedicated = await platform().createTenant({ name: "back-dedicated", plan: "pro" });
    for (const { connection } of [shared, dedicated]) {
      await queryOnce(connection.uri, "create table kept as select 42 as answer");
    }
    const before = await platform().tenants();
    const firstKey = platform().key;
    await platform().stop();

    platform().output = "";
    const began = monotonicMs();
    await platform().start();
    expect(monotonicMs() - began).toBeLessThan(15_000);

    expect(await platform().tenants()).toEqual(before);
    for (const { connection } of [shared, dedicated]) {
      expect(await queryOnce(connection.uri, "table kept")).toEqual([{ answer: 42 }]);
    }
    await until("psql to be printed", () => /^\s*psql /m.test(platform().output));
    expect(platform().output, "the key is printed at the first start only").not.toContain(firstKey);
    expect(platform().key).toBe(firstKey);
    await platform().settled();
  });

  test("takes a preset platform key in place of the one before", async () => {
    const firstKey = platform().key;
    const preset = "a-key-of-the-operators-own-choice";
    await platform().restart({ AERODB_PLATFORM_KEY: preset });
    const asked = { authorization: `Bearer ${preset}` };
    expect((await platform().request("GET", "/v1/tenants", undefined, asked)).status).toBe(200);
    const old = { authorization: `Bearer ${firstKey}` };
    expect((await platform().request("GET", "/v1/tenants", undefined, old)).status).toBe(401);
    await platform().stop();
  });
});

test("a home below a private directory works and leaves nothing outside of it running", async () => {
  const hidden = await platformOfThisTest({ behindPrivateDirectory: true });
  const tenant = await hidden.createTenant({ name: "hidden", plan: "pro" });
  expect(await queryOnce(tenant.connection.uri, "select 1 as one")).toEqual([{ one: 1 }]);
  await hidden.stop();
});

test("`npm start` that is told to end takes the whole platform along", async () => {
  const home = join(platform().home, "..", "by-npm");
  const ports = await freePorts(5);
  const names = ["REST", "GRPC", "PG", "PG_POOLED", "LINK"];
  const given = names.map((name, at) => [`AERODB_${name}_PORT`, String(ports[at])]);
  let npm = 0;
  const ended = run("npm", ["start", "--", "--home", home], {
    environment: { ...Object.fromEntries(given), AERODB_WARM_INSTANCES: "0" },
    onStart: (pid) => (npm = pid),
  });
  const all = () => processesOf([home]);
  onTestFinished(() => all().forEach(({ pid }) => void signal(pid, "SIGKILL")));
  const serves = () => missesNothing(`http://127.0.0.1:${ports[0]}`);
  await until("the platform to serve", serves, 60_000);
  signal(npm, "SIGTERM");
  await ended;
  await until("all of it to end", () => all().length === 0, 20_000);
  releasePorts(ports);
});
