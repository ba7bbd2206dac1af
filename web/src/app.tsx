// The frame: name, tabs, the state in the corner, and what is said when the server is not there.

import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { follow, go, linkTo, setTheme, theme, url } from './lib/app_state';
import type { Theme } from './lib/app_state';
import { lastContact, lostAt, setToken, tokenWanted } from './lib/client';
import { clock, duration, zone } from './lib/format';
import { nextTryAt, refreshStatus, status, views } from './lib/status_feed';
import { kPages } from './lib/url_state';
import type { Page } from './lib/url_state';
import { headline } from './lib/words';
import { ActivityPage } from './pages/activity';
import { PipelinePage } from './pages/pipeline';
import { SqlPage } from './pages/sql';
import { TablesPage } from './pages/tables';
import { ViewsPage } from './pages/views';
import { Chip, useSeconds } from './ui/parts';

const names: Readonly<Record<Page, string>> = {
  pipeline: 'Pipeline',
  activity: 'Activity',
  views: 'Views',
  tables: 'Tables',
  sql: 'SQL',
};
const pages: Readonly<Record<Page, () => JSX.Element>> = {
  pipeline: PipelinePage,
  activity: ActivityPage,
  views: ViewsPage,
  tables: TablesPage,
  sql: SqlPage,
};

function Tabs(): JSX.Element {
  const list = useRef<HTMLDivElement>(null);
  const chosen = url.value.page;
  // One tab stop for all tabs; the arrow keys move between them.
  const key = (event: KeyboardEvent): void => {
    const at = kPages.indexOf(url.value.page);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: kPages.length - 1 }[
      event.key
    ];
    if (to === undefined) return;
    event.preventDefault();
    const page = kPages[(to + kPages.length) % kPages.length] ?? 'pipeline';
    go({ page });
    list.current?.querySelector<HTMLElement>(`#tab-${page}`)?.focus();
  };
  return (
    <div class="tabs" role="tablist" aria-label="Pages" ref={list} onKeyDown={key}>
      {kPages.map((page) => (
        <a
          key={page}
          id={`tab-${page}`}
          role="tab"
          href={linkTo({ page })}
          aria-selected={page === chosen}
          aria-controls="page"
          tabIndex={page === chosen ? 0 : -1}
          onClick={follow({ page })}
        >
          {names[page]}
        </a>
      ))}
    </div>
  );
}

const nextTheme: Readonly<Record<Theme, Theme>> = {
  system: 'light',
  light: 'dark',
  dark: 'system',
};
const themeWords: Readonly<Record<Theme, string>> = {
  system: 'as the system',
  light: 'light',
  dark: 'dark',
};
const themeSigns: Readonly<Record<Theme, string>> = { system: '◐', light: '○', dark: '●' };

function ThemeButton(): JSX.Element {
  const now = theme.value;
  return (
    <button
      type="button"
      class="button quiet theme"
      title={`Theme: ${themeWords[now]}. Change to ${themeWords[nextTheme[now]]}.`}
      aria-label={`Theme: ${themeWords[now]}. Change to ${themeWords[nextTheme[now]]}.`}
      onClick={() => setTheme(nextTheme[now])}
    >
      <span aria-hidden="true">{themeSigns[now]}</span>
    </button>
  );
}

function Corner(): JSX.Element {
  const now = status.value;
  if (lostAt.value !== null) return <Chip tone="bad">Disconnected</Chip>;
  if (!now) return <Chip tone="idle">Connecting</Chip>;
  const { tone, short, title, detail } = headline(now, views.value);
  return (
    <Chip tone={tone} title={`${title} ${detail}`}>
      {short}
    </Chip>
  );
}

function Header(): JSX.Element {
  return (
    <header>
      <a class="skip" href="#page">
        Skip to the page
      </a>
      <div class="brand">
        <svg viewBox="0 0 24 24" aria-hidden="true">
          <path d="M2 7h7c4 0 4 10 8 10h5" />
          <path d="M2 12h4c4 0 4 7 8 7" />
          <path d="M13 7h9" opacity=".5" />
        </svg>
        <b>pgweir</b>
        <span class="brand-source">{status.value?.source.name ?? ''}</span>
      </div>
      <nav aria-label="Dashboard">
        <Tabs />
      </nav>
      <div class="corner">
        <Corner />
        <ThemeButton />
      </div>
    </header>
  );
}

function Lost(): JSX.Element | null {
  const now = useSeconds();
  const since = lostAt.value;
  if (since === null) return null;
  const next = nextTryAt.value;
  const wait = next === null ? 0 : Math.max(0, Math.ceil((next - now) / 1000));
  return (
    <div class="lost" data-testid="disconnected">
      <p role="alert">
        <b>No answer from pgweir since {clock(since)}.</b>{' '}
        {lastContact.value === null
          ? 'Nothing has been loaded yet.'
          : `What you see is what was true at ${clock(lastContact.value)}.`}
      </p>
      {/* What counts seconds is not read out each second. */}
      <p>
        {duration(Math.max(1000, Math.round((now - since) / 1000) * 1000))} ago.{' '}
        {wait > 0 ? `Next try in ${wait} s.` : 'Trying again.'}
      </p>
      <button type="button" class="button" onClick={refreshStatus}>
        Try now
      </button>
    </div>
  );
}

function TokenForm(): JSX.Element {
  const [value, setValue] = useState('');
  return (
    <form
      class="card token"
      onSubmit={(event) => {
        event.preventDefault();
        if (!value.trim()) return;
        setToken(value.trim());
        refreshStatus();
      }}
    >
      <h1>This pgweir asks for a token</h1>
      <p class="prose">
        It is the one under “server: token” in its configuration. It is kept for this browser tab
        only, and can also be given once in the address as “?token=…”.
      </p>
      <label class="field">
        <span>Token</span>
        <input
          type="password"
          autocomplete="off"
          value={value}
          onInput={(event) => setValue(event.currentTarget.value)}
        />
      </label>
      <button type="submit" class="button primary">
        Use it
      </button>
    </form>
  );
}

function Footer(): JSX.Element {
  const now = status.value;
  return (
    <footer>
      <span>pgweir {now?.version ?? ''}</span>
      <span>Times are in {zone(Date.now())}</span>
      <span>
        <a href="/api/v1/status">status as JSON</a> · <a href="/metrics">metrics</a>
      </span>
    </footer>
  );
}

export function App(): JSX.Element {
  const { page } = url.value;
  const Shown = pages[page];
  const lost = lostAt.value !== null;
  const source = status.value?.source.name;
  useEffect(() => {
    document.title = [names[page], source, 'pgweir'].filter(Boolean).join(' · ');
  }, [page, source]);
  return (
    <>
      <Header />
      <Lost />
      <main class={lost ? 'stale' : undefined}>
        <div id="page" role="tabpanel" aria-labelledby={`tab-${page}`} tabIndex={-1}>
          {tokenWanted.value ? <TokenForm /> : <Shown />}
        </div>
      </main>
      <Footer />
    </>
  );
}
