const THEMES = ["auto", "light", "dark"];

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  button.textContent = `Theme: ${theme}`;
  redraw();
}

function recall() {
  // A page from disk may have no storage.
  try { return localStorage.getItem("optsuite-theme"); } catch { return null; }
}

function remember(theme) {
  try { localStorage.setItem("optsuite-theme", theme); } catch { /* it holds until the page is left */ }
}

const button = document.getElementById("theme");
let theme = THEMES.includes(recall()) ? recall() : "auto";
setTheme(theme);
button.addEventListener("click", () => {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  setTheme(theme);
  remember(theme);
});
