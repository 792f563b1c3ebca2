import { defineConfig } from "vitest/config"

export default defineConfig({
  root: new URL("..", import.meta.url).pathname,
  resolve: { conditions: ["espalier-source"] },
  ssr: { resolve: { conditions: ["espalier-source"] } },
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Two workers: tests that start servers and threads of their own share a small machine.
    maxWorkers: 2
  }
})
