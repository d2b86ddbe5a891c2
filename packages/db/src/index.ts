export * from "./copy.ts";
export * from "./database.ts";
export * from "./listener.ts";
export * from "./migrate.ts";
export * from "./sql.ts";
