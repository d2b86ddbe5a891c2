import { expect, test } from "vitest";
import {
  formatScramVerifier,
  generatePassword,
  parseScramVerifier,
  scramVerifier,
} from "./scram.ts";

test("the verifier is the one of RFC 7677", async () => {
  const salt = Buffer.from("W22ZaJ0SNY7soEsUEjb6gQ==", "base64");
  expect(await scramVerifier("pencil", { salt })).toBe(
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" +
      "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
  );
});

test("a verifier survives parsing, and nothing else is taken for one", async () => {
  const text = await scramVerifier(generatePassword());
  const verifier = parseScramVerifier(text);
  expect(verifier && formatScramVerifier(verifier)).toBe(text);
  for (const other of ["", "secret", `md5${"0".repeat(32)}`, `${text}x`, text.slice(1)]) {
    expect(parseScramVerifier(other)).toBeUndefined();
  }
});

test("a password of characters that clients prepare differently is refused", async () => {
  await expect(scramVerifier("pässword")).rejects.toThrow("visible ASCII");
  await expect(scramVerifier("two words")).rejects.toThrow("visible ASCII");
});

test("generated passwords are long, need no escaping, and differ", () => {
  const passwords = new Set(Array.from({ length: 100 }, generatePassword));
  expect(passwords.size).toBe(100);
  for (const password of passwords) expect(password).toMatch(/^[A-Za-z0-9_-]{40}$/);
});
