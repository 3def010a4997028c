import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

const backendUrl = process.env.DARKROOM_URL ?? "http://127.0.0.1:8600";

const folder = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  plugins: [react()],
  resolve: { alias: { "@": folder("./src"), "@tests": folder("./tests") } },
  server: { proxy: { "/api": { target: backendUrl, changeOrigin: true } } },
  build: {
    outDir: "dist",
    target: "es2022",
    // Inlined files would be data: URLs, which the content security policy allows for pictures only.
    assetsInlineLimit: 0,
  },
  test: {
    environment: "happy-dom",
    setupFiles: ["tests/setup.ts"],
    include: ["src/**/*.test.{ts,tsx}", "tests/**/*.test.{ts,tsx}"],
    css: false,
    restoreMocks: true,
    fileParallelism: false,
    // A busy machine with two cores is slow to draw a whole form.
    testTimeout: 60_000,
  },
});
