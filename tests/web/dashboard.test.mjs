// The dashboard of a running pgweir, in a real browser: what is written into PostgreSQL is seen.
//
//   PGWEIR_URL=http://127.0.0.1:8088 DATABASE_URL=postgresql://… node --test tests/web/dashboard.test.mjs
//
// The pipeline is fixture.yaml over fixture.sql; run.mjs beside this file starts all of it.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { axeFindings, openBrowser, openPage } from './browser.mjs';

const { PGWEIR_URL: base, DATABASE_URL: database } = process.env;
assert.ok(base && database, 'set PGWEIR_URL and DATABASE_URL, or use tests/web/run.mjs');

let browser;
let page;
before(async () => (browser = await openBrowser()));
after(() => browser?.close());
beforeEach(async () => (page = await openPage(browser)));
afterEach(async () => {
  const { complaints } = page;
  await page.context().close();
  assert.deepEqual(complaints, [], 'the page has complained');
});

function psql(sql) {
  const { status, stdout, stderr } = spawnSync(
    'psql',
    ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', database, '-c', sql],
    {
      encoding: 'utf8',
    },
  );
  assert.equal(status, 0, stderr);
  return stdout.trim();
}

/** Adds guests with names that nobody else has; returns the names. */
function invite(count) {
  const first = Number(psql('SELECT coalesce(max(id), 0) + 1 FROM guests'));
  const stamp = Date.now().toString(36);
  const names = Array.from({ length: count }, (_, index) => `Guest ${stamp} ${index}`);
  psql(
    `INSERT INTO guests VALUES ${names.map((name, index) => `(${first + index}, '${name}', ${index + 1})`).join()}`,
  );
  return names;
}

const see = (text) => page.getByText(text).first().waitFor();
const list = '/?page=views&view=guest_list&order=-id';

test('the state is said in words, with its time and position', async () => {
  await page.goto(`${base}/`);
  await see('Streaming. Everything is up to date.');
  const detail = await page.getByTestId('headline-detail').innerText();
  assert.match(detail, /^As of \d\d:\d\d:\d\d, position [0-9A-F]+\/[0-9A-F]+\.$/);
  assert.equal(await page.title(), 'Pipeline · reception · pgweir');
});

test('a row that is inserted, updated and deleted in PostgreSQL is so in the live table', async () => {
  await page.goto(base + list);
  await see('Barbara');
  const position = await page.getByTestId('view-position').innerText();
  const [name] = invite(1);
  await page.locator('td.flash-new', { hasText: name }).waitFor();
  assert.notEqual(await page.getByTestId('view-position').innerText(), position);

  psql(`UPDATE guests SET seats = 77 WHERE name = '${name}'`);
  await page.locator('tr', { hasText: name }).locator('td.flash', { hasText: '77' }).waitFor();

  psql(`DELETE FROM guests WHERE name = '${name}'`);
  await page.locator('tr', { hasText: name }).waitFor({ state: 'detached' });
});

test('a sum follows, and equals what PostgreSQL says', async () => {
  await page.goto(`${base}/?page=views&view=seats_taken`);
  await page.locator('.figures dd').first().waitFor();
  invite(3);
  const expected = psql("SELECT count(*) || ' ' || sum(seats) FROM guests");
  await page.waitForFunction(
    (text) =>
      [...document.querySelectorAll('.figures dd')].map((one) => one.innerText).join(' ') === text,
    expected,
  );
});

test('the numbers of the activity grow by exactly what was written', async () => {
  await page.goto(`${base}/?page=activity&range=1h&table=public.guests&op=insert`);
  const total = page.getByTestId('activity-total');
  await total.waitFor();
  const was = Number(await total.getAttribute('data-value'));
  invite(5);
  await page.waitForFunction(
    (value) =>
      document.querySelector('[data-testid=activity-total]')?.dataset.value === String(value),
    was + 5,
  );
  assert.equal(
    await page.locator('.totals tbody td').first().innerText(),
    (was + 5).toLocaleString('en-US'),
  );
  await page.locator('.chart canvas').waitFor();
});

test('the address opens the same view again', async () => {
  await page.goto(`${base}/`);
  await page.getByRole('tab', { name: 'Activity' }).click();
  await page.getByText('24 h', { exact: true }).click();
  await page.getByRole('combobox', { name: 'Operation' }).selectOption('insert');
  await page.getByRole('combobox', { name: 'Table' }).selectOption('public.guests');
  assert.equal(
    new URL(page.url()).search,
    '?page=activity&range=24h&table=public.guests&op=insert',
  );
  await page.reload();
  await see('a bar for each hour');
  assert.equal(await page.getByRole('combobox', { name: 'Operation' }).inputValue(), 'insert');
  assert.equal(await page.getByRole('combobox', { name: 'Table' }).inputValue(), 'public.guests');
});

test('changes are seen as they come', async () => {
  await page.goto(`${base}/?page=activity&tail=1`);
  await see('Waiting for the next change.');
  // The stream begins with the next change after it is open, which the page cannot tell: so write
  // until one is seen.
  const seen = page.locator('.tail tbody tr', { hasText: 'Guest' }).first();
  let shown = false;
  for (let attempt = 0; attempt < 20 && !shown; attempt += 1) {
    invite(1);
    shown = await seen.waitFor({ timeout: 500 }).then(
      () => true,
      () => false,
    );
  }
  assert.ok(shown, 'no change was seen');
  assert.match(await seen.innerText(), /insert\s+public\.guests/);
});

test('tables and SQL answer what PostgreSQL answers', async () => {
  invite(2);
  const rows = psql('SELECT count(*) FROM guests');
  await page.goto(`${base}/?page=tables&table=public.guests`);
  await page
    .locator('tr', { hasText: 'public.guests' })
    .locator('td', { hasText: new RegExp(`^${rows}$`) })
    .waitFor();
  await see('integer');

  await page.getByRole('tab', { name: 'SQL' }).click();
  await page.locator('#sql-text').fill('SELECT count(*) AS n FROM guest_list');
  await page.keyboard.press('Control+Enter');
  await page.locator('td', { hasText: new RegExp(`^${rows}$`) }).waitFor();
  assert.match(await page.getByTestId('sql-facts').innerText(), /true at position/);

  await page.locator('#sql-text').fill('SELECT * FROM nowhere_at_all');
  await page.keyboard.press('Control+Enter');
  await page.getByRole('alert').filter({ hasText: 'nowhere_at_all' }).waitFor();
});

for (const dark of [false, true]) {
  for (const [path, text] of [
    ['/', 'Streaming'],
    ['/?page=activity', 'Totals by table'],
    [list, 'Barbara'],
    ['/?page=tables&table=public.guests', 'Rows in the mirror'],
    ['/?page=sql&sql=SELECT+*+FROM+guest_list', 'Barbara'],
  ]) {
    test(`${path} is accessible, ${dark ? 'dark' : 'light'}`, async () => {
      await page.emulateMedia({ colorScheme: dark ? 'dark' : 'light' });
      await page.goto(base + path);
      await see(text);
      assert.deepEqual(await axeFindings(page), []);
    });
  }
}
