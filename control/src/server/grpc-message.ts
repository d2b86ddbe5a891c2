import type { OutgoingHttpHeaders } from "node:http";
import type { ApiHandler } from "./api-handler.ts";

/** The printable characters that `encodeURIComponent` escapes and `decodeURI` leaves escaped. */
const NEEDLESS = /%(?:2[3-6bcf]|3[abdf]|40)/gi;

/**
 * Connect escapes more of an error's sentence than gRPC asks for (all but what is printable ASCII
 * may stay as it is), and @grpc/grpc-js undoes less: `taken: choose` would arrive as
 * `taken%3A choose`. So what need not be escaped is not.
 */
export function plainSentences(handler: ApiHandler): ApiHandler {
  return (request, response) => {
    const addTrailers = response.addTrailers.bind(response);
    response.addTrailers = (trailers: OutgoingHttpHeaders) => addTrailers(plain(trailers));
    handler(request, response);
  };
}

function plain(trailers: OutgoingHttpHeaders): OutgoingHttpHeaders {
  const message = trailers["grpc-message"];
  if (typeof message !== "string") return trailers;
  return { ...trailers, "grpc-message": plainSentence(message) };
}

/** `%25` stays, or what follows it would be taken for an escape. */
export function plainSentence(escaped: string): string {
  return escaped.replace(NEEDLESS, (code) => (code === "%25" ? code : decodeURIComponent(code)));
}
