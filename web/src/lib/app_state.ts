// What the reader chose: the address, the theme. One signal each; the address bar follows.

import { signal } from '@preact/signals';
import { onPage, parseUrl, writeUrl } from './url_state';
import type { UrlState } from './url_state';

export const url = signal<UrlState>(parseUrl(location.search));

export const linkTo = (change: Partial<UrlState>): string =>
  `${location.pathname}${writeUrl(onPage(url.value, change))}`;

/** "push" makes a step that the Back button takes back; "replace" is for sorting and paging. */
export function go(change: Partial<UrlState>, how: 'push' | 'replace' = 'push'): void {
  const next = onPage(url.value, change);
  url.value = next;
  const target = `${location.pathname}${writeUrl(next)}`;
  if (target === `${location.pathname}${location.search}`) return;
  if (how === 'push') history.pushState(null, '', target);
  else history.replaceState(null, '', target);
}

addEventListener('popstate', () => {
  url.value = parseUrl(location.search);
});

/** A click on a link of ours changes the page in place; other clicks are the browser's. */
export function follow(change: Partial<UrlState>): (event: MouseEvent) => void {
  return (event) => {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)
      return;
    event.preventDefault();
    go(change);
  };
}

export type Theme = 'system' | 'light' | 'dark';
const kThemeKey = 'pgweir.theme';
const darkSystem = matchMedia('(prefers-color-scheme: dark)');

function readTheme(): Theme {
  try {
    const chosen = localStorage.getItem(kThemeKey);
    return chosen === 'light' || chosen === 'dark' ? chosen : 'system';
  } catch {
    return 'system';
  }
}
export const theme = signal<Theme>(readTheme());
/** What is seen: charts are drawn again when it changes. */
export const dark = signal(false);

function applyTheme(): void {
  const isDark = theme.value === 'system' ? darkSystem.matches : theme.value === 'dark';
  document.documentElement.dataset['theme'] = isDark ? 'dark' : 'light';
  dark.value = isDark;
}
applyTheme();
darkSystem.addEventListener('change', applyTheme);

export function setTheme(next: Theme): void {
  theme.value = next;
  applyTheme();
  try {
    if (next === 'system') localStorage.removeItem(kThemeKey);
    else localStorage.setItem(kThemeKey, next);
  } catch {
    // Storage can be forbidden; the choice then lasts until the page is loaded again.
  }
}
