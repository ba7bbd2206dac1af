// Every state that the dashboard is designed for, in a real browser against the stand-in server.
// Needs web/dist (npm ci && npm run build in web/) and Chromium.
//
//   node --test tests/web/states.test.mjs

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { axeFindings, openBrowser, openPage } from './browser.mjs';
import { startStandIn } from './stand_in.mjs';

let browser;
let server;
let page;

before(async () => (browser = await openBrowser()));
after(() => browser?.close());
beforeEach(async () => (server = await startStandIn()));
afterEach(async () => {
  const complaints = page?.complaints ?? [];
  await page?.context().close();
  page = undefined;
  await server.stop();
  assert.deepEqual(complaints, [], 'the page has complained');
});

async function open(path, scenario = 'normal', options = {}) {
  server.set(scenario);
  page = await openPage(browser, options);
  await page.goto(server.url + path);
  return page;
}

const see = (text) => page.getByText(text).first().waitFor();

const everyPage = [
  ['/', 'Streaming'],
  ['/?page=activity&tail=1', 'Totals by table'],
  ['/?page=views&view=balance', 'account_id'],
  ['/?page=views&view=per_minute&as=chart', 'latest'],
  ['/?page=tables&table=public.transfers', 'numeric(12,2)'],
  ['/?page=sql&sql=SELECT+1', '40 rows'],
];
const everyState = [
  ['trouble', '/', 'things to look at'],
  ['disk', '/', 'Waiting for disk space. Nothing is lost.'],
  ['snapshot', '/', 'Reading the tables for the first time.'],
  ['snapshot', '/?page=views', 'The tables are being read for the first time.'],
  ['snapshot', '/?page=activity', '402,117 rows/s, about 7 s left.'],
  ['reading', '/', '250,000 of about 1,000,000 rows, 50,000 rows/s, about 15 s left. Waits for'],
  ['reading', '/', 'Waits for its turn.'],
  ['empty', '/?page=activity', 'No changes yet in this range.'],
  ['empty', '/?page=views', 'No views yet.'],
  ['empty', '/?page=tables', 'No tables are captured.'],
  ['error', '/', 'The engine did not answer within 5 s.'],
  ['error', '/?page=views', 'Look at the messages of pgweir on stderr.'],
  ['normal', '/?page=views&view=wrong', 'did you mean "account_id"?'],
  ['normal', '/?page=views&view=gone', 'There is no view gone.'],
  ['normal', '/?page=sql&sql=SELECT+nonsense', 'Did you mean "transfers"?'],
  ['normal', '/?page=activity&range=custom', 'Choose a start and an end.'],
  ['token', '/', 'This pgweir asks for a token'],
];

async function accessibleInBothThemes() {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await page.waitForFunction(
      (theme) => document.documentElement.dataset.theme === theme,
      colorScheme,
    );
    assert.deepEqual(await axeFindings(page), [], colorScheme);
  }
}

for (const [path, text] of everyPage) {
  test(`${path} is accessible, light and dark`, async () => {
    await open(path);
    await see(text);
    await accessibleInBothThemes();
  });
}
for (const [scenario, path, text] of everyState) {
  test(`${path} says "${text}" in state ${scenario}, light and dark`, async () => {
    await open(path, scenario);
    await see(text);
    await accessibleInBothThemes();
  });
}

test('a page that waits shows a skeleton, and then its data', async () => {
  await open('/?page=views', 'slow');
  await page.locator('.skeleton').waitFor();
  assert.deepEqual(await axeFindings(page), []);
  server.set('normal');
  await page.reload();
  await see('account_id');
});

test('an error offers to try again, and that works', async () => {
  await open('/?page=views', 'error');
  await see('The engine did not answer within 5 s.');
  server.set('normal');
  await page.getByRole('button', { name: 'Try again' }).click();
  await see('account_id');
});

test('a server that is gone is said, old data stays grey, and the page comes back by itself', async () => {
  await open('/?page=views&view=total');
  await see('0.00');
  await server.stop();
  await page.getByTestId('disconnected').waitFor();
  assert.match(
    await page.getByTestId('disconnected').innerText(),
    /No answer from pgweir since \d\d:\d\d:\d\d/,
  );
  assert.match(
    await page.getByTestId('disconnected').innerText(),
    /What you see is what was true at \d\d:\d\d:\d\d/,
  );
  assert.equal(await page.locator('main.stale').count(), 1);
  await page.getByRole('tab', { name: 'Pipeline' }).click();
  await see('Last known: Streaming');
  await page.getByRole('tab', { name: 'Views' }).click();
  await see('0.00');
  await see('Disconnected');
  await accessibleInBothThemes();
  server = await startStandIn({ port: server.port });
  await page.getByTestId('disconnected').waitFor({ state: 'detached' });
  assert.equal(await page.locator('main.stale').count(), 0);
  const was = await page.getByTestId('view-position').innerText();
  await page.waitForFunction(
    (text) => document.querySelector('[data-testid=view-position]').innerText !== text,
    was,
  );
});

test('the address holds every filter, and opens the same view again', async () => {
  await open('/');
  await page.getByRole('tab', { name: 'Activity' }).click();
  await page.getByText('24 h', { exact: true }).click();
  await page.getByRole('combobox', { name: 'Table' }).selectOption('public.transfers');
  await page.getByRole('combobox', { name: 'Operation' }).selectOption('insert');
  await page.getByText('By table', { exact: true }).click();
  const address = new URL(page.url());
  assert.equal(
    address.search,
    '?page=activity&range=24h&table=public.transfers&op=insert&by=table',
  );
  await page.goto(page.url());
  await see('a bar for each hour');
  assert.equal(
    await page.getByRole('combobox', { name: 'Table' }).inputValue(),
    'public.transfers',
  );
  assert.equal(await page.getByRole('combobox', { name: 'Operation' }).inputValue(), 'insert');
  assert.ok(await page.getByRole('radio', { name: '24 h' }).isChecked());
  const asked = server.requests.filter((path) => path.startsWith('/api/v1/activity?')).at(-1);
  const query = new URLSearchParams(asked.split('?')[1]);
  assert.equal(query.get('bucket'), 'hour');
  assert.equal(query.get('table'), 'public.transfers');
});

test('Back takes back a page and a filter', async () => {
  await open('/?page=activity');
  await see('a bar for each minute');
  await page.getByText('7 days', { exact: true }).click();
  await page.getByRole('tab', { name: 'Views' }).click();
  await see('account_id');
  await page.goBack();
  await see('a bar for each hour');
  await page.goBack();
  await see('a bar for each minute');
});

test('From – to takes over the range shown, in a link that says the zone', async () => {
  await open('/?page=activity');
  await page.getByText('From – to', { exact: true }).click();
  const query = new URL(page.url()).searchParams;
  assert.equal(Date.parse(query.get('to')) - Date.parse(query.get('from')), 3_600_000);
  assert.match(query.get('from'), /Z$/);
  // 13:00 in the tests' browser (UTC+1) is 12:00 UTC.
  await page.getByLabel('From', { exact: true }).fill('2026-11-20T13:00');
  await page.getByLabel('From', { exact: true }).blur();
  assert.equal(new URL(page.url()).searchParams.get('from'), '2026-11-20T12:00:00.000Z');
  await see('2026-11-20 13:00 to');
});

test('tabs, skip link, sorting and the console work from the keyboard', async () => {
  await open('/');
  await see('Streaming');
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to the page');
  await page.keyboard.press('Tab');
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowRight');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'tab-views');
  await see('account_id');
  await page.getByRole('button', { name: /^balance/ }).focus();
  await page.keyboard.press('Enter');
  await page.keyboard.press('Enter');
  assert.equal(new URL(page.url()).searchParams.get('order'), '-balance');
  await page.locator('#tab-views').focus();
  await page.keyboard.press('End');
  await page.getByLabel('SQL', { exact: true }).last().fill('SELECT * FROM accounts');
  await page.keyboard.press('Control+Enter');
  await see('40 rows');
  assert.match(await page.getByTestId('sql-facts').innerText(), /4 ms, true at position 0\//);
});

test('the chart reads its buckets to the arrow keys', async () => {
  await open('/?page=activity');
  await page.locator('.chart').focus();
  await page.keyboard.press('ArrowLeft');
  assert.match(await page.locator('.reading').innerText(), /so far/);
  await page.keyboard.press('ArrowLeft');
  assert.match(await page.locator('.reading').innerText(), /Inserts\s+[\d,]+/);
  await page.keyboard.press('Escape');
  assert.equal(await page.locator('.reading').count(), 0);
});

test('cells that changed flash, and do not where the reader asked for less motion', async () => {
  await open('/?page=views&view=balance');
  await page.locator('td.flash').first().waitFor();
  const name = () =>
    page
      .locator('td.flash')
      .first()
      .evaluate((cell) => getComputedStyle(cell).animationName);
  assert.equal(await name(), 'flash');
  await page.emulateMedia({ reducedMotion: 'reduce' });
  assert.equal(await name(), 'none');
});

test('pages of a view', async () => {
  await open('/?page=views&view=balance');
  await see('1 – 50 of 400');
  await page.getByRole('button', { name: 'Next' }).click();
  await see('51 – 100 of 400');
  assert.equal(new URL(page.url()).searchParams.get('offset'), '50');
});

test('the theme follows the system until one is chosen, which is kept', async () => {
  await open('/', 'normal', { dark: true });
  const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
  assert.equal(await theme(), 'dark');
  await see('Streaming');
  await page.emulateMedia({ colorScheme: 'light' });
  await page.waitForFunction(() => document.documentElement.dataset.theme === 'light');
  const button = page.getByRole('button', { name: /^Theme/ });
  await button.click();
  await button.click();
  assert.equal(await theme(), 'dark');
  await page.reload();
  assert.equal(await theme(), 'dark');
});

test('a token in the address is taken out of it, kept for the tab and sent', async () => {
  await open('/?page=views&token=secret', 'token');
  await see('account_id');
  assert.equal(new URL(page.url()).search, '?page=views');
  await page.reload();
  await see('account_id');
});

test('a token can be typed in', async () => {
  await open('/', 'token');
  await page.getByLabel('Token').fill('secret');
  await page.getByRole('button', { name: 'Use it' }).click();
  await see('Streaming');
});

test('no page is wider than a window of 400 pixels', async () => {
  await open('/', 'trouble', { context: { viewport: { width: 400, height: 800 } } });
  for (const [path, text] of everyPage) {
    await page.goto(server.url + path);
    await see(text);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 400, `${path} is ${width} pixels wide`);
  }
});

test('the built page is at most 60 kB, gzipped', () => {
  const dist = new URL('../../web/dist/', import.meta.url);
  const files = readdirSync(dist, { recursive: true }).filter((name) =>
    /\.(html|js|css|svg)$/.test(name),
  );
  const size = files.reduce(
    (sum, name) => sum + gzipSync(readFileSync(new URL(name, dist))).length,
    0,
  );
  assert.ok(files.length >= 4 && size <= 60_000, `${size} bytes in ${files.length} files`);
});

test('the page loads nothing from elsewhere', async () => {
  page = await openPage(browser);
  const asked = [];
  page.on('request', (request) => asked.push(request.url()));
  await page.goto(`${server.url}/?page=activity`);
  await see('Totals by table');
  assert.deepEqual(
    asked.filter((url) => !url.startsWith(server.url) && !url.startsWith('data:')),
    [],
  );
});
