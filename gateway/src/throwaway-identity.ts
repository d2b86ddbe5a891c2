/** What a gateway of a test is known by. */
import type { Identity } from "@aerodb/identity";
import type { CertificateAuthority } from "@aerodb/identity/authority";
import { newId } from "@aerodb/runtime";

/** A new one at each call. Where control's link is, whoever uses it says. */
export async function throwawayIdentity(authority: CertificateAuthority): Promise<Identity> {
  const id = newId("gtw");
  const issued = await authority.issue({
    peer: { kind: "gateway", id },
    dnsNames: [],
    ipAddresses: [],
    validForDays: 1,
  });
  const caCertificate = authority.certificate;
  return { kind: "gateway", id, ...issued, caCertificate, linkAddress: "127.0.0.1:0" };
}
