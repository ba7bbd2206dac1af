// Data that is loaded, loaded again as time passes, and stays on the page when a load fails.

import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError, call, lostAt, reconnects } from './client';

const kRetryMs = 3_000;
const kRemembered = 40;

/** The last answers, so that a page that is left and opened again begins with what it showed. */
const remembered = new Map<string, unknown>();

function remember(path: string, data: unknown): void {
  remembered.delete(path);
  remembered.set(path, data);
  const oldest = remembered.keys().next();
  if (remembered.size > kRemembered && !oldest.done) remembered.delete(oldest.value);
}

const recall = <T>(path: string | null): T | null =>
  path === null ? null : ((remembered.get(path) as T | undefined) ?? null);

export interface Polled<T> {
  data: T | null;
  /** Of the last load; the data, if any, is then older than it. */
  error: ApiError | null;
  retry: () => void;
}

interface Held<T> {
  /** What the data belongs to; other data must not be shown in its place. */
  subject: string;
  data: T | null;
  error: ApiError | null;
}

/**
 * Loads `path` at once and then `every_ms` after each answer (null: only once). While `subject`
 * stays the same the old data is kept until the new one is there, as in paging; when it changes
 * the data starts from what `path` answered last, or from nothing. Hidden tabs and a lost
 * connection load nothing until they are back.
 */
export function usePoll<T>(
  subject: string,
  path: string | null,
  every_ms: number | null,
): Polled<T> {
  const [held, setHeld] = useState<Held<T>>({ subject, data: recall<T>(path), error: null });
  const [turn, setTurn] = useState(0);
  const back = reconnects.value;
  const busy = useRef(false);

  useEffect(() => {
    if (path === null) return;
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const set = (change: (old: Held<T>) => Held<T>): void => {
      setHeld((old) =>
        change(old.subject === subject ? old : { subject, data: recall<T>(path), error: null }),
      );
    };
    const load = async (): Promise<void> => {
      if (busy.current || document.hidden || lostAt.value !== null) return;
      busy.current = true;
      clearTimeout(timer);
      let wait = every_ms;
      try {
        const data = await call<T>(path, { signal: abort.signal });
        remember(path, data);
        if (!abort.signal.aborted) set(() => ({ subject, data, error: null }));
      } catch (error) {
        wait = kRetryMs;
        if (error instanceof ApiError) set((old) => ({ ...old, error }));
      }
      if (abort.signal.aborted) return;
      busy.current = false;
      if (wait !== null) timer = setTimeout(() => void load(), wait);
    };
    const shown = (): void => void load();
    document.addEventListener('visibilitychange', shown);
    void load();
    return () => {
      abort.abort();
      busy.current = false;
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', shown);
    };
  }, [subject, path, every_ms, turn, back]);

  const current = held.subject === subject ? held : { data: recall<T>(path), error: null };
  return { data: current.data, error: current.error, retry: () => setTurn((old) => old + 1) };
}
