// Debian's Chromium under playwright-core, which web/package.json brings.

import { createRequire } from 'node:module';

const fromWeb = createRequire(new URL('../../web/package.json', import.meta.url));
const { chromium } = fromWeb('playwright-core');
export const axePath = fromWeb.resolve('axe-core/axe.min.js');

const flags = [
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export function openBrowser() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    // Chromium's sandbox refuses to work as root.
    args: process.getuid?.() === 0 ? [...flags, '--no-sandbox'] : flags,
  });
}

/** A page in a context of its own; what the page complains about is kept in `page.complaints`. */
export async function openPage(browser, options = {}) {
  const context = await browser.newContext({
    viewport: { width: 1360, height: 900 },
    timezoneId: 'Europe/Paris',
    // The page's own policy forbids inline scripts; axe is injected around it.
    bypassCSP: options.bypassCSP ?? false,
    colorScheme: options.dark ? 'dark' : 'light',
    ...options.context,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(options.timeout_ms ?? 10_000);
  page.complaints = [];
  page.on('pageerror', (error) => page.complaints.push(String(error)));
  page.on('console', (message) => {
    // A request that fails is told by the page itself, in its own words.
    if (message.type() === 'error' && !/Failed to load resource/.test(message.text())) {
      page.complaints.push(message.text());
    }
  });
  return page;
}

/** What axe finds that is serious or critical, as lines to read. */
export async function axeFindings(page) {
  await page.addScriptTag({ path: axePath });
  const { violations } = await page.evaluate(() => window.axe.run(document));
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => `${node.target} (${node.any.map((one) => one.message).join(' ')})`).join('; ')}`);
}
