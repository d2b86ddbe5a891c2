/** The packets that start a connection: they have a length but no type. */

/** What Postgres accepts before it knows who calls. */
const MAXIMUM_BYTES = 10_000;
const SSL_REQUEST = 80_877_103;
const GSS_REQUEST = 80_877_104;
const CANCEL_REQUEST = 80_877_102;
const PROTOCOL_MAJOR = 3;
/** 3.1 was never spoken: libpq asks for 3.2 at most, and a server answers a higher minor itself. */
const LARGEST_SECRET_BYTES = 256;

export type StartupPacket =
  | { readonly kind: "ssl_request" }
  | { readonly kind: "gss_request" }
  | { readonly kind: "cancel_request"; readonly key: BackendKey }
  | {
      readonly kind: "startup";
      /** Minor of protocol 3: 0, or 2 since Postgres 18. */
      readonly minor: number;
      readonly parameters: ReadonlyMap<string, string>;
    };

/** What a cancel request names. The secret has 4 bytes in protocol 3.0 and up to 256 in 3.2. */
export interface BackendKey {
  readonly processId: number;
  readonly secret: Buffer;
}

export type StartupReading =
  | { readonly kind: "incomplete" }
  | { readonly kind: "packet"; readonly packet: StartupPacket; readonly byteLength: number }
  /** Nothing that follows can be understood: answer, and close. */
  | { readonly kind: "malformed"; readonly sqlState: string; readonly reason: string };

/** Reads the packet that starts `bytes`, if it is all there. */
export function readStartupPacket(bytes: Buffer): StartupReading {
  if (bytes.length < 4) return { kind: "incomplete" };
  const byteLength = bytes.readUInt32BE(0);
  if (byteLength < 8 || byteLength > MAXIMUM_BYTES) {
    return malformed("invalid length of startup packet");
  }
  if (bytes.length < byteLength) return { kind: "incomplete" };
  const body = bytes.subarray(8, byteLength);
  return readBody(bytes.readUInt32BE(4), body, byteLength);
}

function readBody(code: number, body: Buffer, byteLength: number): StartupReading {
  switch (code) {
    case SSL_REQUEST:
    case GSS_REQUEST: {
      if (body.length !== 0) return malformed("invalid length of startup packet");
      const kind = code === SSL_REQUEST ? "ssl_request" : "gss_request";
      return { kind: "packet", packet: { kind }, byteLength };
    }
    case CANCEL_REQUEST: {
      const key = readBackendKey(body);
      if (key === undefined) return malformed("invalid length of cancel request");
      return { kind: "packet", packet: { kind: "cancel_request", key }, byteLength };
    }
  }
  return readStartup(code, body, byteLength);
}

function readStartup(code: number, body: Buffer, byteLength: number): StartupReading {
  const major = code >>> 16;
  const minor = code & 0xffff;
  if (major !== PROTOCOL_MAJOR) {
    const reason = `unsupported frontend protocol ${major}.${minor}: server supports 3.0 to 3.2`;
    return { kind: "malformed", sqlState: "0A000", reason };
  }
  const parameters = readParameters(body);
  if (parameters === undefined) {
    return malformed("invalid startup packet layout: expected terminator as last byte");
  }
  return { kind: "packet", packet: { kind: "startup", minor, parameters }, byteLength };
}

/** Names and values, each ended by a NUL, and a last NUL. */
function readParameters(body: Buffer): ReadonlyMap<string, string> | undefined {
  if (body.at(-1) !== 0) return undefined;
  const texts = body.subarray(0, -1).toString("utf8").split("\0");
  // A well-formed list ends in a NUL itself, which leaves one empty text behind.
  if (texts.pop() !== "" || texts.length % 2 !== 0) return undefined;
  const parameters = new Map<string, string>();
  for (let at = 0; at < texts.length; at += 2) {
    const name = texts[at];
    if (!name) return undefined;
    parameters.set(name, texts[at + 1] ?? "");
  }
  return parameters;
}

function malformed(reason: string): StartupReading {
  return { kind: "malformed", sqlState: "08P01", reason };
}

/** Reads a process id and a secret, as BackendKeyData and a cancel request carry them. */
export function readBackendKey(bytes: Buffer): BackendKey | undefined {
  const secretBytes = bytes.length - 4;
  if (secretBytes < 4 || secretBytes > LARGEST_SECRET_BYTES) return undefined;
  return { processId: bytes.readInt32BE(0), secret: Buffer.from(bytes.subarray(4)) };
}

export function encodeStartupMessage(startup: {
  readonly minor: number;
  readonly parameters: Iterable<readonly [string, string]>;
}): Buffer {
  const texts = [...startup.parameters].flat();
  if (texts.some((text) => text.includes("\0"))) throw new Error("bug: a NUL in a parameter");
  const body = Buffer.from(`${texts.map((text) => `${text}\0`).join("")}\0`);
  return encodePacket(PROTOCOL_MAJOR * 0x1_0000 + startup.minor, body);
}

export function encodeCancelRequest(key: BackendKey): Buffer {
  return encodePacket(CANCEL_REQUEST, encodeBackendKey(key));
}

export function encodeSslRequest(): Buffer {
  return encodePacket(SSL_REQUEST, Buffer.alloc(0));
}

export function encodeBackendKey(key: BackendKey): Buffer {
  const processId = Buffer.alloc(4);
  processId.writeInt32BE(key.processId);
  return Buffer.concat([processId, key.secret]);
}

function encodePacket(code: number, body: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(head.length + body.length, 0);
  head.writeUInt32BE(code, 4);
  return Buffer.concat([head, body]);
}
