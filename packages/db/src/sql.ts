/** A statement with its parameters kept apart from its text. */
export interface Statement {
  readonly text: string;
  readonly values: readonly unknown[];
}

/** Tags a statement. Every `${}` becomes a bind parameter, never text. */
export function sql(parts: TemplateStringsArray, ...values: readonly unknown[]): Statement {
  return { text: parts.reduce((text, part, index) => `${text}$${index}${part}`), values };
}
