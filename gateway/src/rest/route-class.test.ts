import { TenantService } from "@aerodb/rpc/aerodb/control/v1/tenant_service_pb.js";
import { silent } from "@aerodb/runtime";
import { createRouterTransport } from "@connectrpc/connect";
import { afterEach, beforeEach, expect, test } from "vitest";
import { controlOver } from "./control.ts";
import type { AnsweredRequest } from "./route-class.ts";
import { listenForRest, type RestServer } from "./server.ts";

let server: RestServer;
let url: string;
let over: AnsweredRequest[];
let asked: boolean;
let answers: Promise<object>;

beforeEach(async () => {
  over = [];
  asked = false;
  answers = Promise.resolve({});
  const transport = createRouterTransport((router) =>
    router.service(TenantService, {
      listTenants: () => {
        asked = true;
        return answers;
      },
    }),
  );
  server = await listenForRest({
    ...{ port: 0, address: "127.0.0.1", control: controlOver(transport), logger: silent },
    ...{ ownReasonsNotReady: () => [], ownReasonsDegraded: () => [] },
    answered: (each) => over.push(each),
  });
  url = `http://127.0.0.1:${server.port}`;
});
afterEach(() => server.close());

test.each([
  ["/livez", "health", 200],
  ["/v1/tenants?page_size=1", "tenants", 200],
  ["/v1/tenants/../x", "other", 404],
  ["/v1/pricing:nothing", "pricing", 404],
  ["/v1/nothing?/v1/tenants", "other", 404],
  ["/nothing/at/all", "other", 404],
  ["/v1/", "other", 404],
  ["/v1", "other", 404],
  ["/aerodb.control.v1.TenantService/ListTenants", "connect", 405],
])("%s is told of as %s once it is over", async (path, routeClass, status) => {
  await (await fetch(url + path)).text();
  await expect.poll(() => over).toEqual([{ routeClass, status, seconds: expect.any(Number) }]);
});

test("a caller who leaves before there is an answer is told of as such", async () => {
  const waits = Promise.withResolvers<object>();
  answers = waits.promise;
  const leaving = new AbortController();
  const gone = fetch(`${url}/v1/tenants`, { signal: leaving.signal }).catch(() => undefined);
  await expect.poll(() => asked).toBe(true);
  leaving.abort();
  await gone;
  await expect.poll(() => over).toMatchObject([{ routeClass: "tenants", status: 499 }]);
  waits.resolve({});
});
