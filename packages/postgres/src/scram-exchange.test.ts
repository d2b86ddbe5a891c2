import { createHash, createHmac, randomBytes } from "node:crypto";
import fc from "fast-check";
import { beforeAll, expect, test } from "vitest";
import {
  generatePassword,
  parseScramVerifier,
  type ScramVerifier,
  scramVerifier,
} from "./scram.ts";
import {
  mockVerifier,
  SCRAM_MECHANISM,
  SCRAM_PLUS_MECHANISM,
  ScramExchange,
  ScramLogin,
} from "./scram-exchange.ts";
import { clientKeyOf } from "./scram-sample.ts";

const password = generatePassword();
const endPoint = randomBytes(32);
let text: string;
let verifier: ScramVerifier;

beforeAll(async () => {
  text = await scramVerifier(password);
  verifier = parsed(text);
});

function parsed(of: string): ScramVerifier {
  return parseScramVerifier(of) ?? expect.fail();
}

/** A whole exchange in the clear. */
function exchange(verifiers: readonly [ScramVerifier, ...ScramVerifier[]], clientKey: Buffer) {
  const login = new ScramLogin({ clientKey, verifier });
  const hello = { mechanism: SCRAM_MECHANISM, data: login.clientFirst };
  const server = ScramExchange.start({ verifiers, endPoint: undefined }, hello);
  const final = login.answer(server?.serverFirst ?? Buffer.alloc(0)) ?? expect.fail();
  return { login, success: server?.finish(final) };
}

test("who has the password shows its key, and is shown the server's", () => {
  const clientKey = clientKeyOf(password, text);
  const { login, success } = exchange([verifier], clientKey);
  expect(success?.clientKey).toEqual(clientKey);
  expect(login.trusts(success?.serverFinal ?? Buffer.alloc(0))).toBe(true);
  expect(exchange([verifier], clientKeyOf("another", text)).success).toBeUndefined();
});

test("while a password is replaced either is taken, and nothing else", async () => {
  const next = await scramVerifier("the-next", { salt: verifier.salt });
  const both = [parsed(next), verifier] as const;
  expect(exchange(both, clientKeyOf(password, text)).success?.verifier).toEqual(verifier);
  expect(exchange(both, clientKeyOf("the-next", text)).success?.verifier).toEqual(parsed(next));
  expect(exchange(both, clientKeyOf("another", text)).success).toBeUndefined();
});

test("one who does not exist keeps its salt, and nobody logs in as it", () => {
  const secret = Buffer.from("secret of the platform");
  const [one, again, other] = ["a", "a", "b"].map((name) => mockVerifier(secret, name));
  expect(one?.salt).toEqual(again?.salt);
  expect(one?.salt).not.toEqual(other?.salt);
  expect(exchange([one ?? verifier], clientKeyOf(password, text)).success).toBeUndefined();
});

const hello = "n=,r=rOprNGfwEbeRWgbNEkqO";

test.each([
  ["a client that binds nothing, in the clear", "n,,", SCRAM_MECHANISM, undefined, true],
  ["one that binds the channel", "p=tls-server-end-point,,", SCRAM_PLUS_MECHANISM, endPoint, true],
  ["one that cannot", "n,,", SCRAM_MECHANISM, endPoint, true],
  ["one that could, in the clear", "y,,", SCRAM_MECHANISM, undefined, true],
  ["one that was told that we cannot", "y,,", SCRAM_MECHANISM, endPoint, false],
  ["a binding in the clear", "p=tls-server-end-point,,", SCRAM_PLUS_MECHANISM, undefined, false],
  ["another binding", "p=tls-unique,,", SCRAM_PLUS_MECHANISM, endPoint, false],
  [
    "a binding by the plain mechanism",
    "p=tls-server-end-point,,",
    SCRAM_MECHANISM,
    endPoint,
    false,
  ],
  ["none by the other", "n,,", SCRAM_PLUS_MECHANISM, endPoint, false],
  ["a mechanism of another name", "n,,", "SCRAM-SHA-512", undefined, false],
] as const)("%s", (_what, header, mechanism, bound, accepted) => {
  const terms = { verifiers: [verifier] as const, endPoint: bound };
  const data = Buffer.from(header + hello);
  expect(ScramExchange.start(terms, { mechanism, data }) !== undefined).toBe(accepted);
});

test("what is said of the channel at last is what was said at first", () => {
  const terms = { verifiers: [verifier] as const, endPoint };
  const said = (header: string, channel: Buffer) => {
    const data = Buffer.from(header + hello);
    const mechanism = header.startsWith("p") ? SCRAM_PLUS_MECHANISM : SCRAM_MECHANISM;
    const server = ScramExchange.start(terms, { mechanism, data });
    return finish(server, { header, channel, first: hello });
  };
  const header = "p=tls-server-end-point,,";
  expect(said(header, endPoint)).toBeDefined();
  expect(said(header, randomBytes(32))).toBeUndefined();
  expect(said(header, Buffer.alloc(0))).toBeUndefined();
  expect(said("n,,", Buffer.alloc(0))).toBeDefined();
});

/** Ends an exchange as one does who has the password, with a word of its own on the channel. */
function finish(
  server: ScramExchange | undefined,
  { header, channel, first }: { header: string; channel: Buffer; first: string },
) {
  if (server === undefined) return undefined;
  const [, nonce] = /r=([^,]+)/.exec(server.serverFirst.toString()) ?? [];
  const word = Buffer.concat([Buffer.from(header), channel]).toString("base64");
  const unproven = `c=${word},r=${nonce}`;
  const said = `${first},${server.serverFirst},${unproven}`;
  return server.finish(Buffer.from(`${unproven},p=${proofOf(said)}`));
}

function proofOf(said: string): string {
  const key = clientKeyOf(password, text);
  const stored = createHash("sha256").update(key).digest();
  const signature = createHmac("sha256", stored).update(said).digest();
  return Buffer.from(key.map((byte, at) => byte ^ (signature[at] ?? 0))).toString("base64");
}

test("no bytes make it throw or let anybody in", () => {
  const terms = { verifiers: [verifier] as const, endPoint: undefined };
  fc.assert(
    fc.property(fc.uint8Array(), fc.string(), (data, mechanism) => {
      expect(ScramExchange.start(terms, { mechanism, data })).toBeUndefined();
      const good = { mechanism: SCRAM_MECHANISM, data: Buffer.from(`n,,${hello}`) };
      expect(ScramExchange.start(terms, good)?.finish(data)).toBeUndefined();
      const login = new ScramLogin({ clientKey: randomBytes(32), verifier });
      expect(login.answer(data)).toBeUndefined();
      expect(login.trusts(data)).toBe(false);
    }),
  );
});
