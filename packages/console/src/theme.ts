/** `auto` is what the system has. */
export type Theme = 'auto' | 'light' | 'dark';

const KEY = 'halley-chat:theme';
const THEMES: readonly Theme[] = ['auto', 'light', 'dark'];

/** What was chosen here before. */
export function chosenTheme(): Theme {
  try {
    return THEMES.find((theme) => theme === localStorage.getItem(KEY)) ?? 'auto';
  } catch {
    return 'auto';
  }
}

/** Shows a theme, and keeps the choice for all windows. */
export function useTheme(theme: Theme): void {
  document.documentElement.dataset['theme'] = theme;
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // Not kept, then.
  }
}

/** The one that a click goes on to. */
export function nextTheme(theme: Theme): Theme {
  return THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? 'auto';
}
