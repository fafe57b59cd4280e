/** Where drizzle-kit finds the schema and keeps the migrations. Both paths are relative to the repository's root. */
export default {
  dialect: "postgresql",
  schema: "server/src/store/postgres/schema.ts",
  out: "server/migrations",
} as const;
