/**
 * What happens on a connection before anybody says who they are: TLS in either of its two ways,
 * GSS, which is declined, and the first packet that means something.
 */
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { type BackendKey, readStartupPacket, type ServerReport } from "@aerodb/postgres";
import type { ShownCertificate } from "../server-tls.ts";
import { readBytes } from "./read-bytes.ts";

export type Opening =
  /** The client left. */
  | { readonly kind: "gone" }
  | { readonly kind: "cancel"; readonly stream: Socket; readonly key: BackendKey }
  | { readonly kind: "refused"; readonly stream: Socket; readonly report: ServerReport }
  | {
      readonly kind: "startup";
      readonly stream: Socket;
      readonly minor: number;
      readonly parameters: ReadonlyMap<string, string>;
      /** Host name the client asked TLS for. */
      readonly serverName: string | undefined;
      /** Hash of the certificate that it was shown; undefined in the clear. */
      readonly endPoint: Buffer | undefined;
      /** What came after the startup packet. */
      readonly rest: Buffer;
    };

/** First byte of a TLS record, which no startup packet can have: those are at most 10,000 long. */
const TLS_RECORD = 0x16;
const ALPN = "postgresql";
const NOTHING = Buffer.alloc(0);
/** What Postgres itself says, whichever step it was. */
export const TOO_LATE: ServerReport = {
  severity: "FATAL",
  sqlState: "57014",
  message: "canceling authentication due to timeout",
};
type Step = Opening | { readonly kind: "more"; readonly next: Negotiation };

interface Negotiation {
  readonly stream: Socket;
  readonly bytes: Buffer;
  readonly encrypted: boolean;
  readonly gssDeclined: boolean;
}

/** How long a client may take. */
interface Patience {
  readonly ending: AbortSignal;
  /** Whether it was the time that has ended it. */
  readonly isOver: () => boolean;
}

/** Reads up to and including the startup packet. Rejects with the signal's reason. */
export async function shakeHands(
  socket: Socket,
  shown: ShownCertificate,
  patience: Patience,
): Promise<Opening> {
  let state: Negotiation = { stream: socket, bytes: NOTHING, encrypted: false, gssDeclined: false };
  for (;;) {
    const step = await nextStep(state, shown, patience);
    if (step.kind !== "more") return step;
    state = step.next;
  }
}

async function nextStep(
  state: Negotiation,
  shown: ShownCertificate,
  patience: Patience,
): Promise<Step> {
  const { stream, bytes } = state;
  const { ending: signal } = patience;
  if (!state.encrypted && bytes[0] === TLS_RECORD) return startDirectTls(state, shown, signal);
  const reading = readStartupPacket(bytes);
  switch (reading.kind) {
    case "incomplete":
      return readOn(state, patience);
    case "malformed":
      return refuse(stream, reading.sqlState, reading.reason);
    case "packet":
      break;
  }
  const { packet } = reading;
  const rest = bytes.subarray(reading.byteLength);
  switch (packet.kind) {
    case "cancel_request":
      return { kind: "cancel", stream, key: packet.key };
    case "startup": {
      const { minor, parameters } = packet;
      const serverName = stream instanceof TLSSocket ? sniOf(stream) : undefined;
      const endPoint = state.encrypted ? shown.endPoint : undefined;
      return { kind: "startup", stream, minor, parameters, serverName, endPoint, rest };
    }
    case "gss_request":
      if (state.gssDeclined || state.encrypted || rest.length > 0) return refuseInjected(stream);
      stream.write("N");
      return { kind: "more", next: { ...state, bytes: NOTHING, gssDeclined: true } };
    case "ssl_request":
      // Bytes that came along were not encrypted: somebody in between may have put them there.
      if (state.encrypted || rest.length > 0) return refuseInjected(stream);
      stream.write("S");
      return startTls(state, shown, signal);
  }
}

/** One that is late is told so: it hears us, which in the midst of TLS it would not. */
async function readOn(state: Negotiation, { ending, isOver }: Patience): Promise<Step> {
  const { stream, bytes } = state;
  try {
    const more = await readBytes(stream, ending);
    if (more === undefined) return { kind: "gone" };
    const joined = bytes.length === 0 ? more : Buffer.concat([bytes, more]);
    return { kind: "more", next: { ...state, bytes: joined } };
  } catch (error) {
    if (!isOver()) throw error;
    return { kind: "refused", stream, report: TOO_LATE };
  }
}

/** TLS without asking first (`sslnegotiation=direct`), which needs ALPN. */
async function startDirectTls(
  state: Negotiation,
  shown: ShownCertificate,
  signal: AbortSignal,
): Promise<Step> {
  state.stream.unshift(state.bytes);
  const step = await startTls(state, shown, signal);
  if (step.kind !== "more") return step;
  const { stream } = step.next;
  const negotiated = stream instanceof TLSSocket && stream.alpnProtocol === ALPN;
  return negotiated
    ? step
    : refuse(stream, "08P01", "direct TLS needs the ALPN protocol postgresql");
}

async function startTls(
  state: Negotiation,
  shown: ShownCertificate,
  signal: AbortSignal,
): Promise<Step> {
  const secure = new TLSSocket(state.stream, {
    isServer: true,
    secureContext: shown.context,
    ALPNProtocols: [ALPN],
  });
  // A broken handshake closes the socket, which is all there is to do about it.
  secure.on("error", () => undefined);
  if (!(await isSecured(secure, signal))) return { kind: "gone" };
  secure.disableRenegotiation();
  return { kind: "more", next: { ...state, stream: secure, bytes: NOTHING, encrypted: true } };
}

function isSecured(secure: TLSSocket, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve, reject) => {
    secure.once("secure", () => resolve(true));
    secure.once("close", () => resolve(false));
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

function sniOf(secure: TLSSocket): string | undefined {
  const { servername } = secure as { readonly servername?: string | false | null };
  return typeof servername === "string" ? servername.toLowerCase() : undefined;
}

function refuseInjected(stream: Socket): Opening {
  return refuse(stream, "08P01", "received unencrypted data after an encryption request");
}

function refuse(stream: Socket, sqlState: string, message: string): Opening {
  return { kind: "refused", stream, report: { severity: "FATAL", sqlState, message } };
}
