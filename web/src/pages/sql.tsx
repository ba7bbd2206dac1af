// Questions in SQL over mirrors, views and activity.

import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { go, url } from '../lib/app_state';
import { ApiError, call } from '../lib/client';
import { duration, plural } from '../lib/format';
import type { SqlResult } from '../lib/types';
import { kDefaults } from '../lib/url_state';
import { DataTable } from '../ui/data_table';
import { CopyButton, Empty, ErrorBox, Select, Skeleton } from '../ui/parts';
import { toCsv } from '../lib/sql_text';

const kTimeoutMs = 10_000;
const kDefaultLimit = 1000;
const limits = ['100', '1000', '10000'];
const examples: readonly (readonly [string, string])[] = [
  [
    'Busiest tables',
    'SELECT "table", op, sum(changes) AS changes, sum(bytes) AS bytes\nFROM pgweir.activity\nGROUP BY ALL\nORDER BY changes DESC',
  ],
  [
    'Changes per minute',
    'SELECT minute, sum(changes) AS changes\nFROM pgweir.activity\nGROUP BY minute\nORDER BY minute DESC\nLIMIT 60',
  ],
  ['Everything there is', "SELECT table_schema, table_name, table_type\nFROM information_schema.tables\nORDER BY ALL"],
];

type Outcome =
  | { kind: 'none' }
  | { kind: 'running'; since: number }
  | { kind: 'failed'; error: ApiError }
  | { kind: 'done'; result: SqlResult; number: number };

/** The address leaves out the views' default; here that means the console's own. */
const limitOf = (): number => (url.value.limit === kDefaults.limit ? kDefaultLimit : url.value.limit);

function Result(props: { result: SqlResult; number: number }): JSX.Element {
  const { result } = props;
  return (
    <section class="card" aria-labelledby="result-title">
      <div class="card-head">
        <h2 id="result-title">
          {plural(result.rows.length, 'row')}
          {result.truncated && <span class="muted"> (there are more; raise the limit)</span>}
        </h2>
        <p class="as-of" data-testid="sql-facts">
          {duration(result.elapsed_ms)}
          {result.position && `, true at position ${result.position}`}
        </p>
        <CopyButton text={() => toCsv(result.columns, result.rows)} label="Copy as CSV" />
      </div>
      {result.rows.length === 0 && <Empty title="The result has no rows." />}
      <DataTable label="Result" subject={String(props.number)} columns={result.columns} rows={result.rows} />
    </section>
  );
}

export function SqlPage(): JSX.Element {
  const [text, setText] = useState(url.value.sql);
  const [outcome, setOutcome] = useState<Outcome>({ kind: 'none' });
  const running = useRef<AbortController | null>(null);
  const number = useRef(0);

  const run = async (sql: string): Promise<void> => {
    if (!sql.trim()) return;
    running.current?.abort();
    const abort = new AbortController();
    running.current = abort;
    go({ sql }, 'replace');
    setOutcome({ kind: 'running', since: Date.now() });
    try {
      const result = await call<SqlResult>('/api/v1/sql', {
        body: { sql, limit: limitOf(), timeout_ms: kTimeoutMs },
        signal: abort.signal,
        timeout_ms: kTimeoutMs + 5_000,
      });
      setOutcome({ kind: 'done', result, number: (number.current += 1) });
    } catch (error) {
      if (abort.signal.aborted && running.current !== abort) return; // a later run took its place
      if (error instanceof ApiError) setOutcome({ kind: 'failed', error });
      else setOutcome({ kind: 'none' });
    }
  };

  // A link with SQL in it shows its result, as every link shows what its writer saw; SQL from here
  // can only read, and ends by itself.
  useEffect(() => {
    if (url.value.sql) void run(url.value.sql);
    return () => running.current?.abort();
  }, []);

  return (
    <>
      <h1>SQL</h1>
      <form
        class="card console"
        onSubmit={(event) => {
          event.preventDefault();
          void run(text);
        }}
      >
        <label for="sql-text" class="hidden">
          SQL
        </label>
        <textarea
          id="sql-text"
          rows={Math.min(16, Math.max(5, text.split('\n').length + 1))}
          value={text}
          spellcheck={false}
          autocomplete="off"
          placeholder="SELECT … over tables, views and pgweir.activity"
          onInput={(event) => setText(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
            event.preventDefault();
            void run(text);
          }}
        />
        <div class="console-bar">
          <button type="submit" class="button primary" disabled={!text.trim()}>
            Run <kbd>Ctrl</kbd>
            <kbd>Enter</kbd>
          </button>
          {outcome.kind === 'running' && (
            <button type="button" class="button" onClick={() => running.current?.abort()}>
              Give up
            </button>
          )}
          <Select
            label="At most"
            value={String(limitOf())}
            options={limits.map((limit) => [limit, `${limit} rows`] as const)}
            choose={(limit) => go({ limit: Number(limit) }, 'replace')}
          />
          <span class="examples">
            {examples.map(([label, sql]) => (
              <button
                key={label}
                type="button"
                class="button quiet"
                onClick={() => {
                  setText(sql);
                  void run(sql);
                }}
              >
                {label}
              </button>
            ))}
          </span>
        </div>
      </form>
      <div>
        <p class="hidden" role="status">
          {outcome.kind === 'done' ? `${plural(outcome.result.rows.length, 'row')} found.` : ''}
        </p>
        {outcome.kind === 'none' && (
          <Empty title="No question asked yet.">
            <p class="prose">
              Write a SELECT and press Ctrl-Enter. It can read everything and change nothing, and stops after{' '}
              {duration(kTimeoutMs)}.
            </p>
          </Empty>
        )}
        {outcome.kind === 'running' && <Skeleton label="The query is running" lines={6} />}
        {outcome.kind === 'failed' && <ErrorBox error={outcome.error} retry={() => void run(text)} />}
        {outcome.kind === 'done' && <Result result={outcome.result} number={outcome.number} />}
      </div>
    </>
  );
}
