/** A process is named by a SPIFFE URI in its certificate: `spiffe://aerodb/host/hst_…`. */
import { isId } from "@aerodb/model";

export type PieceKind = "control" | "host" | "gateway";

/** Who a certificate stands for. control has no id: any replica is control. */
export interface Peer {
  readonly kind: PieceKind;
  readonly id: string;
}

const DOMAIN = "spiffe://aerodb/";

export function spiffeUri(peer: Peer): string {
  return peer.kind === "control" ? `${DOMAIN}control` : `${DOMAIN}${peer.kind}/${peer.id}`;
}

/**
 * Who a verified certificate names; undefined when it names nobody, or more than one. Takes the
 * `subjectaltname` text of node:tls, in which a value that could be misread comes quoted.
 */
export function peerOf(
  certificate: { readonly subjectaltname?: string | undefined } | undefined,
): Peer | undefined {
  const names = (certificate?.subjectaltname ?? "").split(", ");
  const uris = names.filter((name) => name.startsWith("URI:")).map((name) => name.slice(4));
  const [uri, second] = uris;
  if (uri === undefined || second !== undefined || !uri.startsWith(DOMAIN)) return undefined;
  const [kind, id, more] = uri.slice(DOMAIN.length).split("/");
  if (more !== undefined) return undefined;
  if (kind === "control" && id === undefined) return { kind, id: "" };
  if (kind === "host" && id !== undefined && isId("hst", id)) return { kind, id };
  if (kind === "gateway" && id !== undefined && isId("gtw", id)) return { kind, id };
  return undefined;
}
