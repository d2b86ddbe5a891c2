/**
 * As much of Stripe as control asks for, over HTTP: it remembers idempotency keys, and can be told
 * to do what it was asked and not to answer.
 */
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

interface Thing {
  readonly [field: string]: unknown;
}

export interface FakeStripe {
  readonly url: string;
  readonly payers: readonly Thing[];
  readonly invoices: readonly Thing[];
  readonly items: readonly Thing[];
  /** The next requests to this path are done and not answered. */
  loseAnswers(path: RegExp, times: number): void;
  /** A day passes: keys are forgotten. */
  forgetKeys(): void;
  close(): Promise<void>;
}

export async function startFakeStripe(): Promise<FakeStripe> {
  const [payers, invoices, items]: [Thing[], Thing[], Thing[]] = [[], [], []];
  const answered = new Map<string, Thing>();
  let lost: { readonly path: RegExp; times: number } | undefined;

  function act(method: string, url: URL, form: URLSearchParams): Thing {
    const { pathname: path } = url;
    if (method === "GET") {
      const of = url.searchParams.get("customer") ?? url.searchParams.get("invoice");
      const all = path === "/v1/invoices" ? invoices : items;
      const data = all.filter(({ customer, invoice }) => [customer, invoice].includes(of));
      return { object: "list", data, has_more: false, url: path };
    }
    const fields: Record<string, unknown> = Object.fromEntries(
      [...form].filter(([name]) => !name.includes("[")),
    );
    fields["metadata"] = Object.fromEntries(
      [...form].flatMap(([name, value]) => {
        const [, key] = /^metadata\[(\w+)\]$/.exec(name) ?? [];
        return key === undefined ? [] : [[key, value]];
      }),
    );
    if (path === "/v1/customers") return add(payers, "cus", fields);
    if (path === "/v1/invoices") return add(invoices, "in", { ...fields, status: "draft" });
    if (path === "/v1/invoiceitems") return add(items, "ii", fields);
    const [, id] = /^\/v1\/invoices\/(\w+)\/finalize$/.exec(path) ?? [];
    const at = invoices.findIndex((each) => each["id"] === id);
    invoices[at] = { ...invoices[at], status: "open" };
    return invoices[at];
  }

  const server = createServer((request, response) => {
    void bodyOf(request).then((body) => {
      const url = new URL(request.url ?? "/", "http://stripe");
      const key = String(request.headers["idempotency-key"] ?? "");
      const known = request.method === "GET" ? undefined : answered.get(key);
      const answer = known ?? act(request.method ?? "", url, new URLSearchParams(body));
      if (key !== "") answered.set(key, answer);
      if (lost !== undefined && lost.times > 0 && lost.path.test(url.pathname)) {
        lost.times -= 1;
        return;
      }
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify(answer));
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    ...{ url: `http://127.0.0.1:${port}`, payers, invoices, items },
    loseAnswers: (path, times) => {
      lost = { path, times };
    },
    forgetKeys: () => answered.clear(),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function add(all: Thing[], prefix: string, fields: Thing): Thing {
  const thing = { id: `${prefix}_${all.length + 1}`, ...fields };
  all.push(thing);
  return thing;
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = "";
  for await (const chunk of request) body += String(chunk);
  return body;
}
