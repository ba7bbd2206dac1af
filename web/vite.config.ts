import { defineConfig } from 'vitest/config';
import type { Plugin } from 'vite';

declare const process: { env: Record<string, string | undefined> };

// The page loads nothing from elsewhere and runs no inline code; the browser is told to hold it to
// that. Only in the built page: the development server injects inline code of its own.
const policy =
  "default-src 'self'; img-src 'self' data:; style-src 'self'; base-uri 'none'; form-action 'self'";

const contentPolicy: Plugin = {
  name: 'content-policy',
  apply: 'build',
  transformIndexHtml: () => [
    {
      tag: 'meta',
      attrs: { 'http-equiv': 'Content-Security-Policy', content: policy },
      injectTo: 'head-prepend',
    },
  ],
};

export default defineConfig({
  plugins: [contentPolicy],
  esbuild: { jsx: 'automatic', jsxImportSource: 'preact' },
  build: {
    target: 'es2021',
    modulePreload: { polyfill: false },
    minify: 'terser',
  },
  // `npm run dev` shows the sources of the page with the data of a pgweir that runs already.
  server: { proxy: { '/api': process.env['PGWEIR_URL'] ?? 'http://127.0.0.1:8088' } },
  test: { include: ['test/**/*.test.ts'], env: { TZ: 'Europe/Paris' } },
});
