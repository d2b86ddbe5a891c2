/** How a process gets its identity: once, with a join token; and again, when it lost it. */
import { createHash, createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { connect as connectTls, type DetailedPeerCertificate } from "node:tls";
import { Fault, messageOf } from "@aerodb/model";
import { PlatformService } from "@aerodb/rpc/aerodb/control/v1/platform_service_pb.js";
import { backoffMs, failpoint, monotonicMs, replaceFileSync, sleep, within } from "@aerodb/runtime";
import { faultFromConnectError } from "@aerodb/wire";
import { ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { newPrivateKey, requireCertificate } from "./certificate-check.ts";
import { type Identity, type JoinOptions, saveIdentity } from "./identity.ts";
import { parseJoinToken } from "./join-token.ts";
import { remedyOfTime } from "./out-of-time.ts";
import { signingRequest } from "./signing-request.ts";
import { checkPeer } from "./spiffe-check.ts";

const RETRY = { firstMs: 100, maxMs: 5_000 };
const ATTEMPT_MS = 10_000;
const SAY_AGAIN_MS = 60_000;
const KEY_FILE = "joining.pem";

/**
 * Trades the join token for an identity. Tries until control answers or the signal is aborted. A
 * crash in between is harmless: the key is kept first, and a token may be used again with the same
 * key. Who joins `again` keeps its id.
 */
export async function joinPlatform(
  options: JoinOptions,
  joinToken: string,
  again?: Pick<Identity, "id">,
): Promise<Identity> {
  const privateKey = joiningKey(options.directory);
  const say = sayer(options);
  for (let failures = 1; ; failures += 1) {
    try {
      const identity = await joinOnce(options, { joinToken, privateKey, id: again?.id ?? "" });
      await failpoint("identity.join.answered");
      saveIdentity(options.directory, identity);
      await failpoint("identity.join.saved");
      rmSync(join(options.directory, KEY_FILE), { force: true });
      return identity;
    } catch (error) {
      const fault = faultOf(error, options.apiAddress);
      if (!isPassing(fault)) throw fault;
      say(fault.message);
      await sleep(backoffMs(failures, RETRY), options.signal);
    }
  }
}

async function joinOnce(
  options: JoinOptions,
  ask: { readonly joinToken: string; readonly privateKey: KeyObject; readonly id: string },
): Promise<Identity> {
  const { kind, name, apiAddress, signal } = options;
  const { joinToken, privateKey, id } = ask;
  const token = parseJoinToken(joinToken);
  const caCertificate = await pinnedAuthority(apiAddress, token.caFingerprint);
  const transport = createGrpcTransport({
    baseUrl: `https://${apiAddress}`,
    nodeOptions: { ca: caCertificate, checkServerIdentity: checkPeer({ kind: "control" }) },
  });
  const certificateRequest = signingRequest(privateKey, kind);
  const answer = await createClient(PlatformService, transport).join(
    { joinToken, certificateRequest, name, kind, id },
    { timeoutMs: ATTEMPT_MS, signal },
  );
  requireCertificate(answer.certificate, { kind, id: id === "" ? answer.id : id }, privateKey);
  return {
    kind,
    id: answer.id,
    certificate: answer.certificate,
    privateKey: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    caCertificate: answer.caCertificate,
    linkAddress: answer.linkAddress,
    joinTokenId: token.id,
  };
}

/**
 * Asks whoever answers for the authority in its chain, and believes it only if its fingerprint
 * fits.
 */
async function pinnedAuthority(address: string, fingerprint: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const { hostname: host, port } = new URL(`https://${address}`);
  // Nothing is sent on this connection; the certificate it shows is pinned before it is used.
  const socket = connectTls({ host, port: Number(port), rejectUnauthorized: false }, () => {
    let certificate: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
    while (certificate !== undefined && certificate.issuerCertificate !== certificate) {
      certificate = certificate.issuerCertificate as DetailedPeerCertificate | undefined;
    }
    const raw = certificate?.raw;
    const shown = raw === undefined ? "" : createHash("sha256").update(raw).digest("hex");
    if (raw !== undefined && shown === fingerprint) resolve(new X509Certificate(raw).toString());
    else
      reject(new Fault("PERMISSION_DENIED", `${address} is not the control of this join token.`));
  });
  socket.on("error", (error) => reject(new Fault("UNAVAILABLE", silenceOf(address, error))));
  try {
    return await within({ ms: ATTEMPT_MS, expecting: `a TLS answer of ${address}` }, promise);
  } finally {
    socket.destroy();
  }
}

/** Why nothing came of an address. The REST port is easily taken for the one of the API. */
function silenceOf(address: string, error: NodeJS.ErrnoException): string {
  return error.code?.startsWith("ERR_SSL_") === true
    ? `what answers at ${address} does not speak TLS: is this control's gRPC address?`
    : `control at ${address} does not answer: ${error.message}`;
}

/** The key to join with, kept until the join has worked. */
function joiningKey(directory: string): KeyObject {
  const path = join(directory, KEY_FILE);
  if (existsSync(path)) return createPrivateKey(readFileSync(path, "utf8"));
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const privateKey = newPrivateKey();
  replaceFileSync(path, privateKey.export({ type: "pkcs8", format: "pem" }).toString());
  return privateKey;
}

/** Says why joining waits, and says the same again only now and then. */
function sayer({ waits }: JoinOptions): (because: string) => void {
  let said: { readonly because: string; readonly atMs: number } | undefined;
  return (because) => {
    const atMs = monotonicMs();
    if (said?.because === because && atMs - said.atMs < SAY_AGAIN_MS) return;
    said = { because, atMs };
    waits?.(because);
  };
}

/** Throws what is no fault of anybody's: a bug is not tried again. */
function faultOf(error: unknown, address: string): Fault {
  if (/alert certificate required/i.test(messageOf(error))) {
    const sentence = `${address} is the link port of control: give it the API port (usually 9090).`;
    return new Fault("INVALID_ARGUMENT", sentence, { cause: error });
  }
  const remedy = remedyOfTime(messageOf(error));
  if (remedy !== undefined) {
    const sentence = `control at ${address} is not believed: ${messageOf(error)}. ${remedy}`;
    return new Fault("UNAVAILABLE", sentence, { cause: error });
  }
  const fault = error instanceof ConnectError ? faultFromConnectError(error) : error;
  if (fault instanceof Fault) return fault;
  throw new Fault("UNAVAILABLE", `Joining failed: ${messageOf(error)}`, { cause: error });
}

/** Whether it may work the next time: control away, or slow. A refusal stays a refusal. */
function isPassing({ kind }: Fault): boolean {
  return kind === "unavailable" || kind === "too_late";
}
