// Talks to the server that served this page: one place for the token, time limits, errors, and for
// knowing whether the server is there at all.

import { signal } from '@preact/signals';
import { EventStreamParser } from './event_stream';
import type { ServerEvent } from './event_stream';

const kTimeoutMs = 10_000;
const kTokenKey = 'pgweir.token';

/** What went wrong, as the server said it, or in words of ours when it said nothing. */
export class ApiError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly hint: string,
    readonly status: number,
  ) {
    super(message);
  }
}

/** When the server stopped answering; null while it answers. */
export const lostAt = signal<number | null>(null);
/** When the server last answered anything. */
export const lastContact = signal<number | null>(null);
/** Rises each time the server is back, so that everything that waits loads again. */
export const reconnects = signal(0);
/** The server wants a token that this page does not have. */
export const tokenWanted = signal(false);

let token = '';

/** Takes ?token=… out of the address and keeps it for this tab only. */
export function takeToken(): void {
  const url = new URL(location.href);
  const given = url.searchParams.get('token');
  if (given) {
    setToken(given);
    url.searchParams.delete('token');
    history.replaceState(null, '', url);
    return;
  }
  try {
    token = sessionStorage.getItem(kTokenKey) ?? '';
  } catch {
    token = '';
  }
}

export function setToken(value: string): void {
  token = value;
  tokenWanted.value = false;
  reconnects.value += 1;
  try {
    sessionStorage.setItem(kTokenKey, value);
  } catch {
    // Storage can be forbidden; the token then lasts until the page is loaded again.
  }
}

function answered(): void {
  lastContact.value = Date.now();
  if (lostAt.value === null) return;
  lostAt.value = null;
  reconnects.value += 1;
}

const lost = (): ApiError => {
  lostAt.value ??= Date.now();
  return new ApiError('disconnected', 'The server does not answer.', '', 0);
};

async function request(path: string, init: RequestInit): Promise<Response> {
  const headers = new Headers(init.headers);
  if (token) headers.set('Authorization', `Bearer ${token}`);
  const response = await fetch(path, { ...init, headers, cache: 'no-store' });
  if (response.status === 401) tokenWanted.value = true;
  return response;
}

async function failure(response: Response): Promise<ApiError> {
  try {
    const { error } = (await response.json()) as {
      error: { code?: string; message?: string; hint?: string };
    };
    const message = error.message ?? `The server answered ${response.status}.`;
    return new ApiError(error.code ?? 'error', message, error.hint ?? '', response.status);
  } catch {
    const said = `The server answered ${response.status} ${response.statusText}`.trim();
    return new ApiError('error', `${said}, without saying why.`, '', response.status);
  }
}

export interface CallOptions {
  signal?: AbortSignal;
  body?: unknown;
  timeout_ms?: number;
}

/**
 * One call of the API. Throws ApiError, with code "disconnected" when there was no answer, and
 * AbortError when the caller gave up. A call that outlasts its limit counts as no answer.
 */
export async function call<T>(path: string, options: CallOptions = {}): Promise<T> {
  const abort = new AbortController();
  const stop = (): void => abort.abort();
  options.signal?.addEventListener('abort', stop);
  const timer = setTimeout(stop, options.timeout_ms ?? kTimeoutMs);
  try {
    const init: RequestInit = { signal: abort.signal };
    if (options.body !== undefined) {
      init.method = 'POST';
      init.headers = { 'Content-Type': 'application/json' };
      init.body = JSON.stringify(options.body);
    }
    const response = await request(path, init);
    answered();
    if (!response.ok) throw await failure(response);
    return (await response.json()) as T;
  } catch (error) {
    if (error instanceof ApiError) throw error;
    if (options.signal?.aborted) throw new DOMException('given up', 'AbortError');
    if (error instanceof SyntaxError) {
      throw new ApiError('error', 'The answer of the server is not JSON.', '', 0);
    }
    throw lost();
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', stop);
  }
}

/** Events of one stream, those behind `last_id` if given, until it ends or the caller gives up. */
export async function listen(
  path: string,
  stop: AbortSignal,
  last_id: string,
  take: (events: ServerEvent[]) => void,
): Promise<void> {
  const headers: Record<string, string> = { Accept: 'text/event-stream' };
  if (last_id) headers['Last-Event-ID'] = last_id;
  const response = await request(path, { signal: stop, headers });
  if (!response.ok || !response.body) throw await failure(response);
  const reader = response.body.getReader();
  const text = new TextDecoder();
  const parser = new EventStreamParser();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const events = parser.push(text.decode(value, { stream: true }));
    if (events.length) take(events);
  }
}
