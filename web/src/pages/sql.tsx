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
  [
    'Everything there is',
    'SELECT table_schema, table_name, table_type\nFROM information_schema.tables\nORDER BY ALL',
  ],
];

type Outcome =
  | { kind: 'none' }
  | { kind: 'running' }
  | { kind: 'failed'; error: ApiError }
  | { kind: 'done'; result: SqlResult; number: number };

/** The address leaves out the views' default; here that means the console's own. */
const limitOf = (): number =>
  url.value.limit === kDefaults.limit ? kDefaultLimit : url.value.limit;

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
      <DataTable
        label="Result"
        subject={String(props.number)}
        columns={result.columns}
        rows={result.rows}
      />
    </section>
  );
}

interface Query {
  outcome: Outcome;
  run: (sql: string) => void;
  give_up: () => void;
}

/** One query at a time: a later one takes the place of an earlier one that still runs. */
function useQuery(): Query {
  const [outcome, setOutcome] = useState<Outcome>({ kind: 'none' });
  const running = useRef<AbortController | null>(null);
  const number = useRef(0);
  const run = async (sql: string): Promise<void> => {
    if (!sql.trim()) return;
    running.current?.abort();
    const abort = new AbortController();
    running.current = abort;
    go({ sql }, 'replace');
    setOutcome({ kind: 'running' });
    try {
      const result = await call<SqlResult>('/api/v1/sql', {
        body: { sql, limit: limitOf(), timeout_ms: kTimeoutMs },
        signal: abort.signal,
        timeout_ms: kTimeoutMs + 5_000,
      });
      setOutcome({ kind: 'done', result, number: (number.current += 1) });
    } catch (error) {
      if (running.current !== abort) return;
      if (error instanceof ApiError) setOutcome({ kind: 'failed', error });
      else setOutcome({ kind: 'none' });
    }
  };
  useEffect(() => () => running.current?.abort(), []);
  return { outcome, run: (sql) => void run(sql), give_up: () => running.current?.abort() };
}

function Editor(props: {
  text: string;
  set: (text: string) => void;
  run: () => void;
}): JSX.Element {
  const { text } = props;
  return (
    <>
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
        onInput={(event) => props.set(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
          event.preventDefault();
          props.run();
        }}
      />
    </>
  );
}

function Shown(props: { outcome: Outcome; retry: () => void }): JSX.Element {
  const { outcome } = props;
  switch (outcome.kind) {
    case 'none':
      return (
        <Empty title="No question asked yet.">
          <p class="prose">
            Write a SELECT and press Ctrl-Enter. It can read everything and change nothing, and
            stops after {duration(kTimeoutMs)}.
          </p>
        </Empty>
      );
    case 'running':
      return <Skeleton label="The query is running" lines={6} />;
    case 'failed':
      return <ErrorBox error={outcome.error} retry={props.retry} />;
    case 'done':
      return <Result result={outcome.result} number={outcome.number} />;
  }
}

export function SqlPage(): JSX.Element {
  const [text, setText] = useState(url.value.sql);
  const { outcome, run, give_up } = useQuery();

  // A link with SQL in it shows its result, as every link shows what its writer saw; SQL from here
  // can only read, and ends by itself.
  useEffect(() => run(url.value.sql), []);

  const example = (sql: string): void => {
    setText(sql);
    run(sql);
  };
  return (
    <>
      <h1>SQL</h1>
      <form
        class="card console"
        onSubmit={(event) => {
          event.preventDefault();
          run(text);
        }}
      >
        <Editor text={text} set={setText} run={() => run(text)} />
        <div class="console-bar">
          <button type="submit" class="button primary" disabled={!text.trim()}>
            Run <kbd>Ctrl</kbd>
            <kbd>Enter</kbd>
          </button>
          {outcome.kind === 'running' && (
            <button type="button" class="button" onClick={give_up}>
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
              <button key={label} type="button" class="button quiet" onClick={() => example(sql)}>
                {label}
              </button>
            ))}
          </span>
        </div>
      </form>
      <p class="hidden" role="status">
        {outcome.kind === 'done' ? `${plural(outcome.result.rows.length, 'row')} found.` : ''}
      </p>
      <Shown outcome={outcome} retry={() => run(text)} />
    </>
  );
}
