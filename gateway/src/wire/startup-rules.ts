/**
 * What a client may ask for in its startup packet. Everything else is refused by name: a parameter
 * that is passed on unseen is how `role`, `replication` or `app.tenant_id` would get in.
 */

/**
 * Settings that change nothing but how the session itself behaves. Lower case; names are compared
 * so.
 */
const ALLOWED: ReadonlySet<string> = new Set([
  "application_name",
  "bytea_output",
  "client_encoding",
  "client_min_messages",
  "datestyle",
  "default_transaction_deferrable",
  "default_transaction_isolation",
  "default_transaction_read_only",
  "enable_seqscan",
  "extra_float_digits",
  "geqo",
  "idle_in_transaction_session_timeout",
  "idle_session_timeout",
  "intervalstyle",
  "jit",
  "lc_messages",
  "lc_monetary",
  "lc_numeric",
  "lc_time",
  "lock_timeout",
  "plan_cache_mode",
  "search_path",
  "standard_conforming_strings",
  "statement_timeout",
  "synchronous_commit",
  "timezone",
  "transaction_timeout",
  "work_mem",
  "xmloption",
]);

/** What is said by the packet itself and not passed on as it is. */
const OWN = new Set(["user", "database", "options"]);
/** The one word of `options` that is the gateway's own. */
const ENDPOINT = "endpoint";
/** Protocol extensions, which are negotiated and not refused. */
const EXTENSION = "_pq_.";

export type StartupAsk =
  | {
      readonly kind: "accepted";
      readonly user: string;
      readonly database: string;
      /** The tenant that `options=endpoint=<name>` names. */
      readonly endpoint: string | undefined;
      /** What the server is told besides user and database. */
      readonly settings: ReadonlyMap<string, string>;
      /** Protocol extensions the client would like; none is spoken here. */
      readonly extensions: readonly string[];
    }
  | { readonly kind: "refused"; readonly sqlState: string; readonly reason: string };

/** Reads the parameters of a startup packet. */
export function readStartupAsk(parameters: ReadonlyMap<string, string>): StartupAsk {
  const user = parameters.get("user") ?? "";
  if (user === "") return refused("28000", "no PostgreSQL user name specified in startup packet");
  const options = splitOptions(parameters.get("options") ?? "");
  if (options === undefined) {
    return refused(
      "22023",
      'the startup parameter "options" may only contain endpoint=name and -c name=value',
    );
  }
  const named = [...parameters].filter(([name]) => !OWN.has(name));
  const extensions = named.map(([name]) => name).filter((name) => name.startsWith(EXTENSION));
  const settings = new Map<string, string>();
  const endpoints = new Set(options.filter(isEndpoint).map(([, value]) => value.toLowerCase()));
  if (endpoints.size > 1) return refused("22023", "several endpoints are named in the options");
  const rest = options.filter((option) => !isEndpoint(option));
  for (const [name, value] of [...named, ...rest]) {
    if (name.startsWith(EXTENSION)) continue;
    if (!ALLOWED.has(name.toLowerCase())) {
      const said = JSON.stringify(name.slice(0, 64));
      return refused("22023", `the startup parameter ${said} cannot be set through this gateway`);
    }
    settings.set(name.toLowerCase(), value);
  }
  return {
    kind: "accepted",
    user,
    database: parameters.get("database") || user,
    endpoint: [...endpoints][0],
    settings,
    extensions,
  };
}

function isEndpoint([name]: readonly [string, string]): boolean {
  return name === ENDPOINT;
}

/**
 * Reads `endpoint=name`, and as Postgres does `-c name=value`, `-cname=value` and `--name=value`,
 * parted by white space that a backslash escapes. Undefined when there is anything else.
 */
function splitOptions(text: string): (readonly [string, string])[] | undefined {
  const words = text.match(/(?:\\[\s\S]|[^\s\\])+/g) ?? [];
  const plain = words.map((word) => word.replace(/\\([\s\S])/g, "$1"));
  const settings: (readonly [string, string])[] = [];
  for (let at = 0; at < plain.length; at += 1) {
    let word = plain[at] ?? "";
    if (word === "-c") {
      at += 1;
      word = plain[at] ?? "";
    } else if (word.startsWith("-c")) {
      word = word.slice(2);
    } else if (word.startsWith("--")) {
      word = word.slice(2);
    } else if (!word.startsWith(`${ENDPOINT}=`)) {
      return undefined;
    }
    const equals = word.indexOf("=");
    if (equals < 1) return undefined;
    settings.push([word.slice(0, equals).replaceAll("-", "_"), word.slice(equals + 1)]);
  }
  return settings;
}

function refused(sqlState: string, reason: string): StartupAsk {
  return { kind: "refused", sqlState, reason };
}
