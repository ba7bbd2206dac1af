// Debian's Chromium under playwright-core, which web/package.json brings.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const fromWeb = createRequire(new URL('../../web/package.json', import.meta.url));
const { chromium } = fromWeb('playwright-core');
const axeSource = readFileSync(fromWeb.resolve('axe-core/axe.min.js'), 'utf8');

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
  // Evaluated, since the page's own policy forbids scripts that it does not bring itself.
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate(() => window.axe.run(document));
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(
      ({ id, help, nodes }) =>
        `${id}: ${help}: ${nodes.map((node) => `${node.target} (${node.any.map((one) => one.message).join(' ')})`).join('; ')}`,
    );
}
