/** A gateway with one tenant, for tests of the pooled port. */
import { ThrowawayPlatform } from "../throwaway-platform.ts";

type Settings = NonNullable<Parameters<ThrowawayPlatform["startGateway"]>[0]>;

/** The caller removes the platform. */
export async function servingAcme(settings: Settings) {
  const platform = await ThrowawayPlatform.start();
  const acme = await platform.instance.addTenant("acme");
  platform.control.whole = platform.tableOf([acme], { generation: 5n });
  const gateway = await platform.startGateway(settings);
  await platform.followed(5n);
  return { platform, gateway, acme };
}
