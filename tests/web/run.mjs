// Starts a PostgreSQL of its own and a pgweir on it (fixture.sql, fixture.yaml), runs the browser
// test, and stops both.
//
//   node tests/web/run.mjs PATH_TO_PGWEIR [TEST_FILE]

import { spawn, spawnSync } from 'node:child_process';
import {
  chownSync,
  existsSync,
  mkdtempSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const kStartMs = 60_000;
const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const [program, testFile = here('dashboard.test.mjs')] = process.argv.slice(2);
if (!program) {
  console.error('usage: node tests/web/run.mjs PATH_TO_PGWEIR [TEST_FILE]');
  process.exit(2);
}

function must(command, args, options = {}) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    encoding: 'utf8',
    ...options,
  });
  if (status !== 0) throw new Error(`${command}: ${error ?? stderr}`);
  return stdout.trim();
}

function freePort() {
  return new Promise((found) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => found(port));
    });
  });
}

/** PostgreSQL refuses to run as root; the user of its package can. */
function serverUser() {
  if (process.getuid() !== 0) return {};
  return {
    uid: Number(must('id', ['-u', 'postgres'])),
    gid: Number(must('id', ['-g', 'postgres'])),
  };
}

function newestBin() {
  const versions = readdirSync('/usr/lib/postgresql').sort((a, b) => Number(b) - Number(a));
  const bin = versions
    .map((one) => `/usr/lib/postgresql/${one}/bin`)
    .find((one) => existsSync(`${one}/initdb`));
  if (!bin) throw new Error('no PostgreSQL server is installed');
  return bin;
}

async function until(what, done, process, log) {
  const end = Date.now() + kStartMs;
  while (!(await done())) {
    const ended = process.exitCode !== null || process.signalCode !== null;
    if (ended || Date.now() > end) {
      throw new Error(
        `${what} ${ended ? 'ended' : 'was not ready in time'}:\n${readFileSync(log, 'utf8')}`,
      );
    }
    await pause(50);
  }
}

async function stop(child, signal) {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((ended) => child.once('exit', ended));
  child.kill(signal);
  await gone;
}

const scratch = mkdtempSync(join(tmpdir(), 'pgweir-web-'));
let postgres;
let pgweir;

async function startPostgres() {
  const user = serverUser();
  const bin = newestBin();
  const data = join(scratch, 'postgres');
  mkdirSync(data);
  if (user.uid !== undefined)
    for (const folder of [scratch, data]) chownSync(folder, user.uid, user.gid);
  must(
    `${bin}/initdb`,
    ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync'],
    { cwd: '/', ...user },
  );
  const port = await freePort();
  const log = join(scratch, 'postgres.log');
  const settings = {
    wal_level: 'logical',
    fsync: 'off',
    listen_addresses: '127.0.0.1',
    unix_socket_directories: scratch,
  };
  const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const output = openSync(log, 'a');
  postgres = spawn(`${bin}/postgres`, ['-D', data, '-p', String(port), ...args], {
    cwd: '/',
    stdio: ['ignore', output, output],
    ...user,
  });
  const pid = join(data, 'postmaster.pid');
  await until(
    'PostgreSQL',
    () => existsSync(pid) && readFileSync(pid, 'utf8').includes('ready'),
    postgres,
    log,
  );
  return `postgresql://postgres@127.0.0.1:${port}/postgres`;
}

async function startPgweir(database) {
  const port = await freePort();
  const log = join(scratch, 'pgweir.log');
  const output = openSync(log, 'a');
  const env = {
    ...process.env,
    DATABASE_URL: database,
    PGWEIR_DATA: join(scratch, 'data'),
    PGWEIR_LISTEN: `127.0.0.1:${port}`,
  };
  pgweir = spawn(resolve(program), ['-c', here('fixture.yaml'), 'run'], {
    env,
    stdio: ['ignore', output, output],
  });
  const url = `http://127.0.0.1:${port}`;
  const ready = async () => (await fetch(`${url}/readyz`).catch(() => ({ ok: false }))).ok;
  await until('pgweir', ready, pgweir, log);
  return url;
}

let code = 1;
try {
  const database = await startPostgres();
  must('psql', ['-Xq', '-v', 'ON_ERROR_STOP=1', '-d', database, '-f', here('fixture.sql')]);
  const url = await startPgweir(database);
  const env = { ...process.env, PGWEIR_URL: url, DATABASE_URL: database };
  const tests = spawn(process.execPath, ['--test', testFile], { env, stdio: 'inherit' });
  code = await new Promise((ended) => tests.once('exit', (status) => ended(status ?? 1)));
  if (code !== 0) console.error(readFileSync(join(scratch, 'pgweir.log'), 'utf8'));
} catch (error) {
  console.error(String(error));
} finally {
  await stop(pgweir, 'SIGTERM');
  await stop(postgres, 'SIGQUIT');
  rmSync(scratch, { recursive: true, force: true });
}
process.exit(code);
