// What moves on the page: tables sort, folded code opens. Plain JavaScript; without it everything can be read.

const number = /^[^\d–-]{0,3}([-+−]?[\d,]*\.?\d+)/;

/** What a cell is sorted by: its first number, or its text; nothing of a dash. */
function valueOf(row, column, numeric) {
  const text = row.cells[column] ? row.cells[column].textContent.trim() : "";
  if (!numeric) return text.toLowerCase();
  const found = number.exec(text);
  return found ? parseFloat(found[1].replaceAll(",", "").replace("−", "-")) : null;
}

const empty = /^[–-]?$/;

/** Whether most of a column's cells begin with a number. */
function isNumeric(cells) {
  const filled = cells.map((cell) => cell.textContent.trim()).filter((text) => !empty.test(text));
  return filled.filter((text) => number.test(text)).length > filled.length / 2;
}

/** Sort by a column; what has no value comes last. A third click gives the order of the page back. */
function sortBy(table, column, original) {
  const heading = table.tHead.rows[table.tHead.rows.length - 1].cells[column];
  const body = table.tBodies[0];
  const numeric = isNumeric(original.map((row) => row.cells[column]).filter(Boolean));
  const first = numeric ? "descending" : "ascending";
  const second = numeric ? "ascending" : "descending";
  const before = heading.getAttribute("aria-sort");
  const order = before === first ? second : before === second ? null : first;
  for (const cell of heading.parentElement.cells) cell.removeAttribute("aria-sort");
  let rows = original;
  if (order) {
    heading.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    rows = [...original].sort((a, b) => {
      const [x, y] = [a, b].map((row) => valueOf(row, column, numeric));
      if (x === null || y === null) return (x === null) - (y === null);
      return sign * (numeric ? x - y : x.localeCompare(y));
    });
  }
  body.append(...rows);
}

/** Numbers above their intervals; short cells in one line, prose in a wide column. */
function layOut(heading, cells, column) {
  for (const cell of cells) {
    const text = cell.firstElementChild?.matches("p:only-child") ? cell.firstElementChild : cell;
    const parts = /^([+-]?\d[\d.,]*) (\[[^\]]*\])(?:,? (.*))?$/.exec(text.textContent.trim());
    if (!parts || text.children.length) continue;
    text.textContent = `${parts[1]} `;
    for (const part of parts.slice(2).filter(Boolean)) {
      text.append(Object.assign(document.createElement("small"), { textContent: part }));
    }
  }
  if (column && isNumeric(cells)) [heading, ...cells].forEach((cell) => cell.classList.add("number"));
  const longest = Math.max(...cells.map((cell) => cell.innerText.split("\n").reduce((n, line) => Math.max(n, line.length), 0)));
  if (longest > 60) [heading, ...cells].forEach((cell) => cell.classList.add("prose"));
  else if (longest <= 20) cells.forEach((cell) => cell.classList.add("short"));
  else cells[0].style.minWidth = `${Math.min(longest, column ? 16 : 26)}ch`;
}

function makeSortable(table) {
  if (!table.tHead || !table.tBodies.length || table.tBodies[0].rows.length < 2) return;
  const original = [...table.tBodies[0].rows];
  if (original.length > 24 && original[0].cells.length > 2) table.parentElement.classList.add("long");
  [...table.tHead.rows[table.tHead.rows.length - 1].cells].forEach((heading, column) => {
    layOut(heading, original.map((row) => row.cells[column]).filter(Boolean), column);
    if (!heading.textContent.trim()) return;
    const button = document.createElement("button");
    button.className = "sort";
    button.type = "button";
    button.title = "Sort";
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sortBy(table, column, original));
    heading.append(button);
  });
}

/** Open the folded parts in which an element is, or which it is. */
function open(element) {
  for (let fold = element?.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
}

function openTarget() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  open(target);
  (target.matches(".made") ? target.closest(".cell") : target).scrollIntoView();
}

document.querySelectorAll(".bd-article table").forEach(makeSortable);

/** A wide figure has a box of its own, which scrolls where the window is too narrow for its letters. */
function box(image) {
  if (image.naturalWidth < 1000) return;
  const around = Object.assign(document.createElement("div"), { className: "figure-scroll" });
  image.replaceWith(around);
  around.append(image);
}

document.querySelectorAll(".bd-article img").forEach((image) => {
  if (image.complete) box(image);
  else image.addEventListener("load", () => box(image), { once: true });
});

document.querySelectorAll("button.fold-all").forEach((button) => {
  button.addEventListener("click", () => {
    const folds = [...document.querySelectorAll("details.hide")];
    const opens = folds.some((fold) => !fold.open);
    folds.forEach((fold) => (fold.open = opens));
    button.textContent = opens ? "Fold the code" : "Show all code";
  });
});

document.querySelectorAll("a.to-cell").forEach((link) => {
  link.addEventListener("click", (event) => {
    const cell = link.closest(".cell");
    if (!cell) return;
    event.preventDefault();
    cell.querySelectorAll("details.hide").forEach((fold) => (fold.open = true));
    cell.scrollIntoView();
  });
});

document.querySelectorAll(".row-card pre").forEach((command) => {
  const button = document.createElement("button");
  button.className = "copy";
  button.type = "button";
  button.textContent = "copy";
  button.addEventListener("click", () => {
    navigator.clipboard?.writeText(command.textContent).then(() => (button.textContent = "copied"));
  });
  command.after(button);
});

window.addEventListener("hashchange", openTarget);
// mathematics and figures move what stands below them
window.addEventListener("load", () => (window.MathJax?.startup?.promise ?? Promise.resolve()).then(openTarget));
