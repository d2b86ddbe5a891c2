/** What a caller outside the platform does: REST requests and Postgres connections. */
import pg from "pg";

/** The REST API's tenant, as documented. */
export interface Tenant {
  readonly tenant_id: string;
  readonly name: string;
  readonly plan: string;
  readonly region: string;
  readonly isolation: string;
  readonly status: string;
  readonly database_url: string;
  readonly created_at: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly connection: {
    readonly host: string;
    readonly port: number;
    readonly database: string;
    readonly user: string;
    readonly password: string;
    readonly uri: string;
    readonly pooled_uri: string;
  };
}

export interface Answer<Body> {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Body;
}

/** A body that is read field by field by the test that asked for it. */
// biome-ignore lint/suspicious/noExplicitAny: the shape of an answer is what tests find out.
export type AnyBody = any;

export interface Caller {
  readonly restUrl: string;
  readonly key: string;
}

/** Whether a gateway is ready, and says of nothing that it is missing. */
export async function missesNothing(restUrl: string): Promise<boolean> {
  const answer = await fetch(`${restUrl}/readyz`);
  const { degraded } = (await answer.json()) as { readonly degraded: boolean };
  return answer.status === 200 && !degraded;
}

/** One REST request with the platform key, unless the headers say otherwise (`""` sends none). */
export async function request<Body = AnyBody>(
  caller: Caller,
  method: string,
  path: string,
  rest: { readonly body?: unknown; readonly headers?: Readonly<Record<string, string>> } = {},
): Promise<Answer<Body>> {
  const headers = new Headers({ authorization: `Bearer ${caller.key}`, ...rest.headers });
  if (headers.get("authorization") === "") headers.delete("authorization");
  const isText = typeof rest.body === "string";
  if (rest.body !== undefined && !headers.has("content-type")) {
    headers.set("content-type", "application/json");
  }
  const response = await fetch(new URL(path, caller.restUrl), {
    method,
    headers,
    signal: AbortSignal.timeout(60_000),
    ...(rest.body === undefined
      ? {}
      : { body: isText ? (rest.body as string) : JSON.stringify(rest.body) }),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: parsed(text) as Body };
}

/** Connects as an application would, with nothing but the URI. */
export async function connect(uri: string, options: pg.ClientConfig = {}): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: uri,
    connectionTimeoutMillis: 20_000,
    ...options,
  });
  client.on("error", () => undefined);
  await client.connect();
  return client;
}

/** Connects, asks one question and leaves. */
export async function queryOnce(uri: string, text: string): Promise<readonly AnyBody[]> {
  const client = await connect(uri);
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

/** The fields of a Postgres error, for comparing. */
export async function connectionError(uri: string): Promise<pg.DatabaseError> {
  const client = new pg.Client({ connectionString: uri, connectionTimeoutMillis: 20_000 });
  client.on("error", () => undefined);
  try {
    await client.connect();
  } catch (error) {
    return error as pg.DatabaseError;
  }
  await client.end();
  throw new Error("The connection was expected to be refused, and it was accepted.");
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
