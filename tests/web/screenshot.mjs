// Takes the picture for the README from a running pgweir.
//
//   node tests/web/screenshot.mjs PGWEIR_URL OUT.png [PATH] [light|dark]
//
// PATH is what stands behind the host in the address, as "/?page=views&view=balance".

import { statSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { openBrowser, openPage } from './browser.mjs';

const kMaxBytes = 200_000;
// Long enough for the lines of the last minutes to be more than a dot.
const kSettleMs = 20_000;

const [base, out, path = '/', theme = 'light'] = process.argv.slice(2);
if (!base || !out) {
  console.error('usage: node tests/web/screenshot.mjs PGWEIR_URL OUT.png [PATH] [light|dark]');
  process.exit(2);
}
const browser = await openBrowser();
try {
  const page = await openPage(browser, {
    dark: theme === 'dark',
    context: { viewport: { width: 1280, height: 860 } },
  });
  await page.goto(new URL(path, base).href);
  await page.getByRole('heading', { level: 1 }).waitFor();
  await pause(kSettleMs);
  await page.screenshot({ path: out });
} finally {
  await browser.close();
}
const { size } = statSync(out);
console.log(`${out}: ${size} bytes`);
if (size > kMaxBytes) {
  console.error(`screenshot: more than ${kMaxBytes} bytes`);
  process.exit(1);
}
