/**
 * Who a client is. The gateway ends SCRAM itself, with the verifiers that control sends: it sees
 * no password, and who has none wakes nothing. A tenant that does not exist, another's role and a
 * wrong password are the same exchange to the last byte.
 */
import {
  decodeSaslInitialResponse,
  encodeAuthentication,
  encodeAuthenticationSasl,
  encodeErrorResponse,
  mockVerifier,
  parseScramVerifier,
  SCRAM_MECHANISM,
  SCRAM_PLUS_MECHANISM,
  ScramExchange,
  type ScramSuccess,
  type ScramTerms,
} from "@aerodb/postgres";
import type { Route } from "@aerodb/rpc/aerodb/edge/v1/route_service_pb.js";
import { nextMessage, type Peer } from "./peer.ts";

/** What is said for every wrong name, role and password: nobody learns which of them it was. */
export function credentialsRefused(user: string): Buffer {
  return encodeErrorResponse({
    severity: "FATAL",
    sqlState: "28P01",
    message: `password authentication failed for user "${user}"`,
  });
}

export interface Claim {
  readonly client: Peer;
  readonly user: string;
  readonly database: string;
  /** Undefined where it may have none. */
  readonly route: Route | undefined;
  /** Hash of the certificate that the connection shows; undefined in the clear. */
  readonly endPoint: Buffer | undefined;
  /** Key from which salts of those who do not exist are made. */
  readonly mockSecret: Uint8Array;
}

/**
 * Lets a client prove itself. `refused` when it proved nothing, and was told so; undefined when it
 * left. Rejects with the signal's reason.
 */
export async function authenticate(
  claim: Claim,
  signal: AbortSignal,
): Promise<ScramSuccess | "refused" | undefined> {
  const { client, user, endPoint } = claim;
  const plus = endPoint === undefined ? [] : [SCRAM_PLUS_MECHANISM];
  client.stream.write(encodeAuthenticationSasl([...plus, SCRAM_MECHANISM]));
  const initial = await nextMessage(client, signal);
  if (initial === undefined) return undefined;
  const hello = initial.type === "p" ? decodeSaslInitialResponse(initial.payload) : undefined;
  const exchange = hello && ScramExchange.start(termsOf(claim), hello);
  if (exchange !== undefined) {
    client.stream.write(encodeAuthentication("saslContinue", exchange.serverFirst));
    const final = await nextMessage(client, signal);
    if (final === undefined) return undefined;
    const success = final.type === "p" ? exchange.finish(final.payload) : undefined;
    if (success !== undefined) return success;
  }
  client.stream.end(credentialsRefused(user));
  return "refused";
}

function termsOf({ route, mockSecret, database, user, endPoint }: Claim): ScramTerms {
  const known = (route?.verifiers ?? []).flatMap((text) => parseScramVerifier(text) ?? []);
  const [first, ...others] = known;
  // Made for those who exist as well: it takes its time.
  const mock = mockVerifier(mockSecret, `${database}\0${user}`);
  return { verifiers: first === undefined ? [mock] : [first, ...others], endPoint };
}
