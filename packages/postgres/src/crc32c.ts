/** CRC-32C (Castagnoli), which Postgres keeps with its control file. Node has only CRC-32. */

const REVERSED_POLYNOMIAL = 0x82f6_3b78;

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) {
    value = value & 1 ? (value >>> 1) ^ REVERSED_POLYNOMIAL : value >>> 1;
  }
  return value;
});

/** Takes one more byte into a running value, which starts as 0xffffffff. */
export function crc32cNext(running: number, byte: number): number {
  return ((TABLE[(running ^ byte) & 0xff] ?? 0) ^ (running >>> 8)) >>> 0;
}

/** The sum that a running value stands for. */
export function crc32cDone(running: number): number {
  return ~running >>> 0;
}

export function crc32c(bytes: Uint8Array): number {
  return crc32cDone(bytes.reduce(crc32cNext, 0xffff_ffff));
}
