import type { AnyBody } from "../platform-client.ts";

export const KEY = "adb_key_of_the_integration_test_0123456789";

/** Calls an RPC of one control as Connect JSON, with the platform key. */
export async function ask(
  control: { readonly apiAddress: string },
  rpc: string,
  message: object,
): Promise<{ readonly ok: boolean; readonly body: AnyBody }> {
  const response = await fetch(`http://${control.apiAddress}/aerodb.control.v1.${rpc}`, {
    method: "POST",
    headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json" },
    body: JSON.stringify(message),
    signal: AbortSignal.timeout(60_000),
  });
  return { ok: response.ok, body: await response.json() };
}

/** Creates a tenant that must come into being. */
export async function createTenant(
  control: { readonly apiAddress: string },
  name: string,
  plan = "pro",
): Promise<AnyBody> {
  const { ok, body } = await ask(control, "TenantService/CreateTenant", { name, plan });
  if (!ok) throw new Error(`creating ${name}: ${JSON.stringify(body)}`);
  return body.tenant;
}
