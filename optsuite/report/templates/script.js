"use strict";

for (const element of document.querySelectorAll(".scripted")) element.hidden = false;

const THEMES = ["auto", "light", "dark"];

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  button.textContent = `Theme: ${theme}`;
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

function sortKey(row, column) {
  const cell = row.cells[column];
  if (!cell || cell.classList.contains("words")) return null; // words instead of a value: last
  return "order" in cell.dataset ? Number(cell.dataset.order) : cell.textContent;
}

function compare(a, b) {
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
}

function sortBy(table, head) {
  const sign = head.ariaSort === "ascending" ? -1 : 1;
  for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
  head.ariaSort = sign > 0 ? "ascending" : "descending";
  const rows = [...table.querySelectorAll("tbody tr")].map((row) => [sortKey(row, head.cellIndex), row]);
  rows.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : sign * compare(a, b)));
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

for (const table of document.querySelectorAll("table.sortable")) {
  for (const head of table.querySelectorAll("th")) {
    const sorter = document.createElement("button");
    sorter.type = "button";
    sorter.append(...head.childNodes);
    head.append(sorter);
    sorter.addEventListener("click", () => sortBy(table, head));
  }
}
