import { type Timestamp, timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";

export function encodeTime(date: Date): Timestamp {
  return timestampFromDate(date);
}

export function decodeTime(timestamp: Timestamp): Date {
  return timestampDate(timestamp);
}
