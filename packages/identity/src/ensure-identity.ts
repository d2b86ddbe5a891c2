import { Fault } from "@aerodb/model";
import { type Identity, type JoinOptions, loadIdentity } from "./identity.ts";

/** The identity a directory holds, or a new one got with the join token. */
export async function ensureIdentity(options: JoinOptions): Promise<Identity> {
  const held = loadIdentity(options.directory);
  if (held !== undefined) return held;
  if (options.joinToken === undefined) {
    throw new Fault(
      "INVALID_ARGUMENT",
      `This ${options.kind} has not joined yet: give it a join token (--join-token).`,
    );
  }
  // What joining takes (X.509, Connect) stays out of the memory of those who have joined.
  const { joinPlatform } = await import("./join.ts");
  return joinPlatform(options, options.joinToken);
}
