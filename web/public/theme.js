// Runs before the first paint, so that a page in one theme does not flash in the other.
var theme = null;
try {
  theme = localStorage.getItem('pgweir.theme');
} catch (ignored) {
  // Storage can be forbidden; then the system's preference holds.
}
if (theme !== 'light' && theme !== 'dark') {
  theme = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
}
document.documentElement.dataset.theme = theme;
