// The status of the pipeline, asked for all the time: every page shows it, and it is the heartbeat
// by which the page knows that the server is there.

import { signal } from '@preact/signals';
import { ApiError, call, lostAt, tokenWanted } from './client';
import { parseTime, toNumber } from './format';
import { slowest } from './words';
import type { Status, View } from './types';

const kEveryMs = 1_000;
const kViewsEvery = 5;
const kFirstRetryMs = 500;
const kLastRetryMs = 5_000;
const kHistory = 120;

export interface Sample {
  at: number;
  changes_per_second: number;
  lag_ms: number;
}

export const status = signal<Status | null>(null);
/** For their states only: a view that failed concerns every page. */
export const views = signal<readonly View[]>([]);
export const statusError = signal<ApiError | null>(null);
/** The last two minutes, as far as this page has been open. */
export const samples = signal<readonly Sample[]>([]);
/** When the next try is made while the server does not answer. */
export const nextTryAt = signal<number | null>(null);

let offsetMs = 0;
let timer: ReturnType<typeof setTimeout> | undefined;
let retryMs = kFirstRetryMs;
let loading = false;
let beats = 0;

/** Now by the server's clock: the reader's may be wrong, and the buckets are the server's. */
export const serverNow = (): number => Date.now() + offsetMs;

function take(next: Status): void {
  status.value = next;
  statusError.value = null;
  const time = parseTime(next.time);
  if (time !== null) offsetMs = time - Date.now();
  const sample: Sample = {
    at: Date.now(),
    changes_per_second: next.rates?.changes_per_second ?? 0,
    lag_ms: toNumber(slowest(next)?.lag_ms) ?? 0,
  };
  samples.value = [...samples.value, sample].slice(-kHistory);
}

async function takeViews(): Promise<void> {
  try {
    views.value = (await call<{ views: View[] }>('/api/v1/views')).views;
  } catch {
    views.value = []; // the page "Views" says why
  }
}

async function beat(): Promise<void> {
  clearTimeout(timer);
  if (loading || (document.hidden && status.value)) return;
  loading = true;
  nextTryAt.value = null;
  let wait = kEveryMs;
  try {
    take(await call<Status>('/api/v1/status', { timeout_ms: 5_000 }));
    retryMs = kFirstRetryMs;
    if (beats++ % kViewsEvery === 0) void takeViews();
  } catch (error) {
    if (error instanceof ApiError && error.code !== 'disconnected') statusError.value = error;
    wait = retryMs;
    retryMs = Math.min(kLastRetryMs, retryMs * 2);
    if (lostAt.value !== null) nextTryAt.value = Date.now() + wait;
  }
  loading = false;
  if (!tokenWanted.value) timer = setTimeout(() => void beat(), wait);
}

/** Asks at once, without waiting for the next turn. */
export function refreshStatus(): void {
  retryMs = kFirstRetryMs;
  void beat();
}

export function startStatusFeed(): void {
  document.addEventListener('visibilitychange', () => void beat());
  void beat();
}
