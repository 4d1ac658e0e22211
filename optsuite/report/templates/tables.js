// Tables that can be sorted, filtered and grouped by task.

function sortKey(row, column) {
  const cell = row.cells[column];
  if (!cell || cell.classList.contains("words")) return null; // words instead of a value: last
  return "order" in cell.dataset ? Number(cell.dataset.order) : cell.textContent;
}

function compare(a, b) {
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
}

class SortedTable {
  constructor(table) {
    this.table = table;
    this.bodies = [...table.tBodies];
    this.rows = this.bodies.map((body) => [...body.rows].filter((row) => !row.classList.contains("group")));
    this.isGrouped = table.classList.contains("grouped");
    this.column = null;
    this.sign = 1;
    for (const head of table.tHead.rows[0].cells) this.addSorter(head);
    const tools = table.parentElement.previousElementSibling;
    this.count = tools.querySelector(".count");
    this.filter = tools.querySelector(".filter");
    this.filter.addEventListener("input", () => this.narrow());
    const grouper = tools.querySelector(".group-rows");
    grouper?.addEventListener("click", () => {
      this.isGrouped = !this.isGrouped;
      grouper.setAttribute("aria-pressed", String(this.isGrouped));
      this.arrange();
    });
  }

  addSorter(head) {
    const sorter = document.createElement("button");
    sorter.type = "button";
    sorter.append(...head.childNodes);
    head.append(sorter);
    sorter.addEventListener("click", () => {
      this.sign = head.ariaSort === "ascending" ? -1 : 1;
      for (const other of this.table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
      head.ariaSort = this.sign > 0 ? "ascending" : "descending";
      this.column = head.cellIndex;
      this.arrange();
    });
  }

  arrange() {
    this.table.classList.toggle("grouped", this.isGrouped);
    if (this.isGrouped) this.bodies.forEach((body, i) => body.append(...this.sorted(this.rows[i])));
    else this.bodies[0].append(...this.sorted(this.rows.flat()));
    this.narrow();
  }

  sorted(rows) {
    if (this.column === null) return rows;
    const keyed = rows.map((row) => [sortKey(row, this.column), row]);
    keyed.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : this.sign * compare(a, b)));
    return keyed.map(([, row]) => row);
  }

  narrow() {
    const words = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = this.rows.flat();
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
    for (const body of this.bodies) {
      const head = body.querySelector("tr.group");
      if (head) head.hidden = [...body.rows].every((row) => row === head || row.hidden);
    }
    const shown = rows.filter((row) => !row.hidden).length;
    this.count.textContent = words.length ? `${shown} of ${rows.length} rows` : "";
  }
}

for (const table of document.querySelectorAll("table.sortable")) new SortedTable(table);
