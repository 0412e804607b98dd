/**
 * unit: beside their files, without any service. protocol: conformance, on the default start and a cluster, and what needs no process at all.
 * check: what is pushed, and seen, while whole clusters are broken, each on services of its own. services: everything else
 * in test/, on the real services.
 */
const shared = {
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: {
    '^@halley/services/(.*)$': '<rootDir>/scripts/services/src/$1.ts',
    '^@halley/([^/]+)/(.*)$': '<rootDir>/packages/$1/src/$2.ts',
    '^(\\.{1,2}/.*)\\.js$': '$1',
  },
  modulePathIgnorePatterns: ['<rootDir>/.*/dist/'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      { jsc: { target: 'es2022', parser: { syntax: 'typescript' } }, module: { type: 'es6' } },
    ],
  },
};

export default {
  projects: [
    {
      ...shared,
      displayName: 'unit',
      testMatch: ['<rootDir>/packages/*/src/**/*.test.ts', '<rootDir>/scripts/**/*.test.ts'],
    },
    {
      ...shared,
      displayName: 'protocol',
      testMatch: ['<rootDir>/test/{conformance,fuzz,model,browser}/**/*.test.ts'],
    },
    {
      ...shared,
      displayName: 'check',
      testMatch: ['<rootDir>/test/check/**/*.test.ts'],
    },
    {
      ...shared,
      displayName: 'services',
      testMatch: ['<rootDir>/test/**/*.test.ts'],
      testPathIgnorePatterns: ['<rootDir>/test/(conformance|fuzz|model|browser|check)/', '/node_modules/'],
      globalSetup: '<rootDir>/test/setup/start-services.mjs',
      globalTeardown: '<rootDir>/test/setup/stop-services.mjs',
    },
  ],
  testTimeout: 30_000,
};
