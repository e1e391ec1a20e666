// Light or dark: the system's choice until a person makes another.

const THEMES = ["auto", "light", "dark"];
const THEME_LABELS = { auto: "Theme: auto", light: "Theme: light", dark: "Theme: dark" };

function rememberedTheme() {
  try {
    const known = localStorage.getItem("vivarium-theme");
    return THEMES.includes(known) ? known : "auto";
  } catch {
    // A page that is opened as a file may be allowed no storage.
    return "auto";
  }
}

function applyTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

// Calls `changed` whenever colours are others than before.
function startTheme(button, changed) {
  let theme = rememberedTheme();
  const show = () => {
    applyTheme(theme);
    button.textContent = THEME_LABELS[theme];
    changed();
  };
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    try {
      localStorage.setItem("vivarium-theme", theme);
    } catch {
      // As above: the choice lasts as long as the page.
    }
    show();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  show();
}

// The colours of the style sheet, by the name of their variable.
function readColours() {
  const style = getComputedStyle(document.documentElement);
  const cache = new Map();
  return (name) => {
    if (!cache.has(name)) cache.set(name, style.getPropertyValue(`--${name}`).trim());
    return cache.get(name);
  };
}
