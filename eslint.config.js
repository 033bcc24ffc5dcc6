// typescript-eslint's strict, type-checked set. What differs from it says why.
import tseslint from 'typescript-eslint';

const casts = (assertionStyle) => ['error', { assertionStyle }];

export default tseslint.config(
  { ignores: ['build/', 'dist/', 'prebuilds/', 'coverage/', 'runs/', '.cache/'] },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      eqeqeq: 'error',
      'prefer-const': 'error',
      'no-console': 'error',
      // `as const` stays allowed; everything else is narrowed with a type guard.
      '@typescript-eslint/consistent-type-assertions': casts('never'),
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      // `shape[i]!` in a counted loop states what is known; a `?? 0` in its place would hide a wrong index.
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/no-unnecessary-condition': ['error', { allowConstantLoopConditions: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
    },
  },
  {
    // The two places where untyped things become typed ones.
    files: ['lib/native/**/*.ts', 'lib/ops/gateway/define.ts'],
    rules: { '@typescript-eslint/consistent-type-assertions': casts('as') },
  },
  {
    files: ['lib/cli/**/*.ts', 'lib/train/**/*.ts', 'tools/**/*.ts', 'bench/**/*.ts', 'examples/**/*.ts'],
    rules: { 'no-console': 'off' },
  },
  {
    files: ['**/*.js', '**/*.mjs', '**/*.cjs'],
    extends: [tseslint.configs.strict],
    rules: { eqeqeq: 'error', 'prefer-const': 'error' },
  },
);
