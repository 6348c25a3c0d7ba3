import react from '@vitejs/plugin-react';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

export default defineConfig({
  plugins: [react()],
  resolve: {
    alias: {
      // Grafana's packages ask for the bridge of their own router version; version 6 is enough here.
      'react-router-dom-v5-compat': fileURLToPath(new URL('./src/router.ts', import.meta.url)),
    },
  },
  define: { 'process.env.NODE_ENV': '"production"', 'process.env.NODE_DEBUG': '""' },
  build: {
    target: 'esnext',
    minify: false,
    chunkSizeWarningLimit: 100_000,
    // Types that the published packages export by name and do not have at run time.
    rollupOptions: { shimMissingExports: true },
  },
});
