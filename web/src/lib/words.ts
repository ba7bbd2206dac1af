// The state of the pipeline in plain words, and what is wrong with it and what to do. Pure.

import {
  bytes,
  clock,
  count,
  duration,
  moment,
  parseTime,
  plural,
  rate,
  toNumber,
} from './format';
import { earliestLsn } from './lsn';
import type { Follower, Snapshot, Status, TableRead, View } from './types';

export type Tone = 'good' | 'busy' | 'warn' | 'bad' | 'idle';

export interface Headline {
  tone: Tone;
  /** One or two words, for the corner of every page. */
  short: string;
  title: string;
  detail: string;
}

export interface Problem {
  tone: 'warn' | 'bad';
  what: string;
  todo: string;
}

/** A follower this far behind is called behind, and one further than the second is a problem. */
export const kBehindMs = 2_000;
export const kFarBehindMs = 30_000;
const kMuchWal = 1024 ** 3;
const kLittleDisk = 2 * 1024 ** 3;

const at = (status: Status): string => clock(parseTime(status.time) ?? Date.now());

/** How far reading has come, how fast it is, and how long it still takes. */
export function readingPace(read: Omit<Snapshot | TableRead, 'state' | 'table'>): string {
  const rows = toNumber(read.rows) ?? 0;
  const expected = toNumber(read.estimated_rows);
  // An estimate that is already passed is none.
  const known = expected !== null && expected > rows;
  const parts = [
    known
      ? `${count(rows)} of about ${plural(Math.round(expected), 'row')}`
      : `${plural(rows, 'row')} so far`,
  ];
  if (read.rows_per_second) parts.push(`${rate(Math.round(read.rows_per_second))} rows/s`);
  const left = toNumber(read.seconds_left);
  if (left !== null) parts.push(`about ${duration(Math.max(1, Math.round(left)) * 1000)} left`);
  return parts.join(', ');
}

/** The follower that is furthest behind in time, of those that move. */
export function slowest(status: Status): Follower | null {
  let found: Follower | null = null;
  for (const follower of status.followers ?? []) {
    if (follower.state !== 'following' && follower.state !== 'catching_up') continue;
    const behind = (one: Follower): number => toNumber(one.lag_ms) ?? 0;
    if (!found || behind(follower) > behind(found)) found = follower;
  }
  return found;
}

function lag(follower: Follower): string {
  return `${duration(follower.lag_ms)} (${bytes(follower.lag_bytes)})`;
}

function streaming(status: Status, views: readonly View[]): Headline {
  const followers = status.followers ?? [];
  const position =
    earliestLsn(followers.map((one) => one.position)) ?? status.log?.last_lsn ?? null;
  const where = position ? `, position ${position}` : '';
  const halted = followers.filter((one) => ['stopped', 'failed', 'lost'].includes(one.state));
  if (halted.length > 0) {
    const names = halted.map((one) => one.name).join(', ');
    return {
      tone: 'bad',
      short: `${halted.length} of ${followers.length} stopped`,
      title: `Streaming, but ${names} ${halted.length === 1 ? 'has' : 'have'} stopped.`,
      detail: `Changes still arrive in the log as of ${at(status)}. What is wrong stands below.`,
    };
  }
  const last = slowest(status);
  if (last && (toNumber(last.lag_ms) ?? 0) > kBehindMs) {
    return {
      tone: 'warn',
      short: `${duration(last.lag_ms)} behind`,
      title: `Streaming. ${last.name} is ${duration(last.lag_ms)} behind.`,
      detail: `It has ${bytes(last.lag_bytes)} still to do as of ${at(status)}${where}.`,
    };
  }
  const detail = `As of ${at(status)}${where}.`;
  const failed = views.filter((view) => view.state === 'failed').length;
  if (failed > 0) {
    const short = `${plural(failed, 'view')} failed`;
    return { tone: 'bad', short, title: `Streaming, but ${short}.`, detail };
  }
  return {
    tone: 'good',
    short: 'Up to date',
    title: 'Streaming. Everything is up to date.',
    detail,
  };
}

function snapshotting(status: Status): Headline {
  const { snapshot } = status.source;
  const of =
    snapshot?.tables_total === undefined
      ? ''
      : `${count(snapshot.tables_done ?? 0)} of ${plural(snapshot.tables_total, 'table')} done, `;
  return {
    tone: 'busy',
    short: 'First snapshot',
    title: 'Reading the tables for the first time.',
    detail: `${of}${readingPace(snapshot ?? {})}, as of ${at(status)}. Changes made meanwhile are kept and follow.`,
  };
}

export function headline(status: Status, views: readonly View[] = []): Headline {
  const message = status.message ?? '';
  const as = `As of ${at(status)}.`;
  switch (status.state) {
    case 'streaming':
      return streaming(status, views);
    case 'snapshotting':
      return snapshotting(status);
    case 'starting':
      return { tone: 'busy', short: 'Starting', title: 'Starting.', detail: message || as };
    case 'waiting_for_disk':
      return {
        tone: 'bad',
        short: 'Disk full',
        title: 'Waiting for disk space. Nothing is lost.',
        detail: message || `PostgreSQL keeps the changes until there is room. ${as}`,
      };
    case 'reconnecting':
      return {
        tone: 'warn',
        short: 'Reconnecting',
        title: 'PostgreSQL does not answer. Trying again.',
        detail: message || `What was captured so far stays readable. ${as}`,
      };
    case 'stopped':
      return { tone: 'idle', short: 'Stopped', title: 'Stopped.', detail: message || as };
    case 'failed':
      return { tone: 'bad', short: 'Failed', title: 'Stopped by an error.', detail: message || as };
    default:
      return {
        tone: 'idle',
        short: status.state,
        title: `State: ${status.state}.`,
        detail: message,
      };
  }
}

function followerProblem(one: Follower): Problem | null {
  const why = one.error ? ` ${one.error}` : '';
  const position = one.position ?? 'an unknown position';
  switch (one.state) {
    case 'failed':
      return {
        tone: 'bad',
        what: `${one.name} failed at ${position}.${why}`,
        todo: 'Correct the cause and start pgweir again: it goes on from that position. The log keeps the changes for it until log.retain or log.max_size is reached.',
      };
    case 'stopped':
      return {
        tone: 'bad',
        what: `${one.name} is stopped at ${position}.${why}`,
        todo: 'It holds back the log, which is not pruned past it. Start it again, or remove it from the configuration.',
      };
    case 'lost':
      return {
        tone: 'bad',
        what: `${one.name} is lost: the log no longer reaches back to ${position}.${why}`,
        todo: 'It must be seeded again. Raise log.retain or log.max_size if it may fall this far behind again.',
      };
    default:
      if ((toNumber(one.lag_ms) ?? 0) <= kFarBehindMs) return null;
      return {
        tone: 'warn',
        what: `${one.name} is ${lag(one)} behind.`,
        todo: 'If this grows, it does less than arrives: give the engine more memory or threads, or make its views cheaper. If it shrinks, wait.',
      };
  }
}

function sourceProblems(status: Status): Problem[] {
  const { source } = status;
  const found: Problem[] = [];
  if (source.slot_alarm) {
    // A finding says it.
  } else if (source.wal_status === 'lost') {
    found.push({
      tone: 'bad',
      what: `PostgreSQL has removed WAL that slot ${source.slot ?? ''} still needed.`,
      todo: 'Changes are missing from here on. Run pgweir with --resync, and raise max_slot_wal_keep_size on the server.',
    });
  } else if (source.wal_status === 'unreserved') {
    found.push({
      tone: 'bad',
      what: `PostgreSQL may remove WAL that slot ${source.slot ?? ''} still needs at its next checkpoint.`,
      todo: 'Raise max_slot_wal_keep_size on the server now, then find out why pgweir is behind.',
    });
  }
  if (status.state === 'streaming' && source.slot_active === false) {
    found.push({
      tone: 'warn',
      what: `Nobody reads slot ${source.slot ?? ''}.`,
      todo: 'This should pass within seconds. If it does not, look at the messages of pgweir.',
    });
  }
  if (!source.slot_alarm && (toNumber(source.retained_wal_bytes) ?? 0) > kMuchWal) {
    found.push({
      tone: 'warn',
      what: `PostgreSQL keeps ${bytes(source.retained_wal_bytes)} of WAL for this slot.`,
      todo: 'A long transaction on the source or a slow disk here holds it back. Look for old transactions in pg_stat_activity, and keep disk free on the source.',
    });
  }
  return found;
}

/** What is wrong, the worst first. Empty when all is well. */
export function problems(status: Status, views: readonly View[] = []): Problem[] {
  const found: Problem[] = [];
  if (status.state === 'failed') {
    found.push({
      tone: 'bad',
      what: status.message || 'pgweir stopped by an error.',
      todo: 'Run "pgweir check": it names each finding with the SQL or the setting that corrects it.',
    });
  }
  if (status.state === 'waiting_for_disk') {
    found.push({
      tone: 'bad',
      what: `The disk of the data folder is full (${bytes(status.log?.free_disk_bytes)} free).`,
      todo: 'Free some space, or lower log.retain or log.max_size. It goes on by itself. Until then PostgreSQL keeps its WAL, so mind its disk too.',
    });
  }
  if (status.state === 'reconnecting') {
    found.push({
      tone: 'warn',
      what: status.message || 'The connection to PostgreSQL is lost.',
      todo: `Is the server ${status.source.host ?? ''} running and reachable? Nothing has to be done here: it goes on where it was.`.replace(
        '  ',
        ' ',
      ),
    });
  }
  for (const follower of status.followers ?? []) {
    const problem = followerProblem(follower);
    if (problem) found.push(problem);
  }
  for (const view of views) {
    if (view.state !== 'failed') continue;
    found.push({
      tone: 'bad',
      what: `View ${view.name} failed. ${view.error ?? ''}`.trim(),
      todo: 'The other views go on. Correct its SQL in the configuration and start pgweir again.',
    });
  }
  found.push(...sourceProblems(status));
  for (const finding of status.findings ?? []) {
    if (finding.severity !== 'error' && finding.severity !== 'warning') continue;
    found.push({
      tone: finding.severity === 'error' ? 'bad' : 'warn',
      what: [finding.subject, finding.message].filter(Boolean).join(': '),
      todo: finding.hint || 'Run "pgweir check" for all findings.',
    });
  }
  const free = toNumber(status.log?.free_disk_bytes);
  if (free !== null && free < kLittleDisk && status.state !== 'waiting_for_disk') {
    found.push({
      tone: 'warn',
      what: `Only ${bytes(free)} are free on the disk of the data folder.`,
      todo: 'Free some space, or lower log.retain or log.max_size. When it is full, capture waits; nothing is lost.',
    });
  }
  return found.sort((a, b) => Number(b.tone === 'bad') - Number(a.tone === 'bad'));
}

const followerWords: Readonly<Record<string, { text: string; tone: Tone }>> = {
  following: { text: 'following', tone: 'good' },
  catching_up: { text: 'catching up', tone: 'busy' },
  stopped: { text: 'stopped', tone: 'bad' },
  failed: { text: 'failed', tone: 'bad' },
  lost: { text: 'lost', tone: 'bad' },
};
export const followerState = (state: string): { text: string; tone: Tone } =>
  followerWords[state] ?? { text: state, tone: 'idle' };

const viewWords: Readonly<Record<string, { text: string; tone: Tone }>> = {
  live: { text: 'live', tone: 'good' },
  building: { text: 'building', tone: 'busy' },
  failed: { text: 'failed', tone: 'bad' },
};
export const viewState = (state: string): { text: string; tone: Tone } =>
  viewWords[state] ?? { text: state, tone: 'idle' };

const strategyWords: Readonly<Record<string, { text: string; meaning: string }>> = {
  delta: { text: 'delta', meaning: 'Only what changed is computed.' },
  affected_keys: {
    text: 'affected keys',
    meaning: 'The groups that a change touches are computed again.',
  },
  recompute: {
    text: 'recompute',
    meaning: 'The whole view is computed again, and the differences are kept.',
  },
  isolated: {
    text: 'isolated',
    meaning: 'Computed beside the other views, and true at a position of its own, behind theirs.',
  },
};
export const strategyOf = (name: string): { text: string; meaning: string } =>
  strategyWords[name] ?? { text: name, meaning: '' };

/** "at position 0/16B3748, 14:03:21": what the rows beside it are true at. */
export function trueAt(
  position: string | null | undefined,
  time: string | null | undefined,
): string {
  const when = parseTime(time);
  const parts = [
    position ? `position ${position}` : '',
    when === null ? '' : moment(when, Date.now()),
  ].filter(Boolean);
  return parts.length ? `True at ${parts.join(', ')}` : 'Position not known';
}
