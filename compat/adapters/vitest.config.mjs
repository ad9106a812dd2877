export default { test: { include: ["*.spec.mjs"], fileParallelism: false, testTimeout: 20_000 } };
