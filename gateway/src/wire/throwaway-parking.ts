import type { ThrowawayPlatform, ThrowawayTenant } from "../throwaway-platform.ts";

/** Tells the gateway of a test that its instance is parked, or is not, and waits until it knows. */
export async function setParked(
  platform: ThrowawayPlatform,
  tenant: ThrowawayTenant,
  about: { readonly generation: bigint; readonly parked: boolean },
): Promise<void> {
  const { generation, parked } = about;
  const { endpoints = [] } = platform.tableOf([tenant], { generation });
  platform.control.send({ generation, endpoints: endpoints.map((each) => ({ ...each, parked })) });
  await platform.followed(generation);
}
