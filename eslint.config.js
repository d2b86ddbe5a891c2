/**
 * ESLint runs for four rules only, those that need types and that Biome does not have in full.
 * Everything else is Biome's.
 */
import typescript from "typescript-eslint";

export default [
  { ignores: ["**/node_modules/", "packages/rpc/gen/", "third_party/", ".aerodb/"] },
  {
    files: ["**/*.ts"],
    languageOptions: {
      parser: typescript.parser,
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    plugins: { "@typescript-eslint": typescript.plugin },
    rules: {
      "@typescript-eslint/await-thenable": "error",
      "@typescript-eslint/no-floating-promises": "error",
      "@typescript-eslint/no-misused-promises": "error",
      "@typescript-eslint/switch-exhaustiveness-check": [
        "error",
        { considerDefaultExhaustiveForUnions: true },
      ],
    },
  },
];
