import { Fault } from "@aerodb/model";
import {
  type FieldPathElement,
  type Violation,
  ViolationsSchema,
} from "@aerodb/rpc/buf/validate/validate_pb.js";
import { ConnectError, type Interceptor } from "@connectrpc/connect";
import { createValidateInterceptor } from "@connectrpc/validate";

/** A longer key of a map is cut where it is named. */
const MOST_KEY_SHOWN = 64;

/**
 * Checks requests against the rules of their protos. INVALID_ARGUMENT says what is wrong, by field.
 */
export function validation(): Interceptor {
  const validate = createValidateInterceptor();
  return (next) => {
    const checked = validate(next);
    return async (request) => {
      try {
        return await checked(request);
      } catch (error) {
        throw asFault(error);
      }
    };
  };
}

function asFault(error: unknown): unknown {
  const [detail] = error instanceof ConnectError ? error.findDetails(ViolationsSchema) : [];
  if (detail === undefined) return error;
  const violations = detail.violations.map((violation) => ({
    field: fieldOf(violation),
    message: violation.message,
  }));
  const sentence = violations.map(({ field, message }) => `${field}: ${message}`).join("; ");
  return new Fault("INVALID_ARGUMENT", `${sentence}.`, { details: { violations } });
}

/**
 * Where a rule was broken, such as `labels["team"]`; of a key itself `labels["team"] (the name)`.
 */
function fieldOf({ field, forKey }: Violation): string {
  const path = (field?.elements ?? []).map((each) => each.fieldName + subscriptOf(each)).join(".");
  return forKey ? `${path} (the name)` : path;
}

function subscriptOf({ subscript }: FieldPathElement): string {
  const { value } = subscript;
  if (value === undefined) return "";
  if (typeof value === "string") return `[${JSON.stringify(value.slice(0, MOST_KEY_SHOWN))}]`;
  return `[${value}]`;
}
