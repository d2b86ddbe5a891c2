export * from "./catalogue-database.ts";
export * from "./throwaway-postgres.ts";
