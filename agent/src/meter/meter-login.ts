import { connectPlatform, ensureMeterRole, meterPassword, meterVerifier } from "@aerodb/postgres";
import type { MeterLogin } from "./instance-meter.ts";

/**
 * The login that measures, on a host with this password of the superuser. An instance that was
 * cloned from an older template gets it in a session of the platform, which touches nothing of a
 * tenant.
 */
export function meterLogin(rootPassword: string): MeterLogin {
  return {
    password: meterPassword(rootPassword),
    async repair({ socketDirectory, engine }) {
      const client = await connectPlatform({ socketDirectory, password: rootPassword });
      try {
        const verifier = await meterVerifier(rootPassword);
        await ensureMeterRole(client, { major: Number.parseInt(engine, 10), verifier });
      } finally {
        await client.end();
      }
    },
  };
}
