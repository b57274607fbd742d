"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
  const text = (row, column) => row.cells[column].textContent.trim();
  const amount = (row, column) => {
    const found = /^(-?[\d.]+)(?: ([kMG])\b)?/.exec(text(row, column));
    return found ? found[1] * ({ k: 1e3, M: 1e6, G: 1e9 }[found[2]] || 1) : NaN;
  };
  const words = (one, other) => one.localeCompare(other, "en", { numeric: true });
  const sort = (column) => {
    const head = heads[column], down = head.ariaSort === "ascending";
    const sign = down ? -1 : 1, figures = !head.matches(".word, :first-child");
    rows.sort((one, other) => {
      if (!figures) return sign * words(text(one, column), text(other, column));
      const a = amount(one, column), b = amount(other, column);
      return isNaN(a) || isNaN(b) ? isNaN(a) - isNaN(b) : sign * (a - b);
    });
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...rows);
  };
  const make = (tag, place, changes) => {
    const element = document.createElement(tag);
    place.append(element);
    return Object.assign(element, changes);
  };
  heads.forEach((head, column) => {
    const title = head.textContent;
    head.textContent = "";
    make("button", head, { type: "button", textContent: title, onclick: () => sort(column) });
  });
  const controls = document.createElement("div");
  controls.className = "controls";
  table.parentElement.before(controls);
  const field = (title, tag, changes) =>
    make(tag, make("label", controls, { textContent: title }), { oninput: () => filter(), ...changes });
  const search = field("Words in a row", "input", { type: "search" });
  const choices = [];
  heads.forEach((head, column) => {
    const values = [...new Set(rows.map((row) => text(row, column)))].sort(words);
    if (!("filter" in head.dataset) || values.length < 2) return;
    const select = field(head.textContent, "select");
    make("option", select, { value: "", textContent: "all" });
    for (const value of values) make("option", select, { value, textContent: value });
    choices.push([select, column]);
  });
  const count = make("output", controls);
  const filter = () => {
    const asked = search.value.toLowerCase().split(/\s+/);
    let shown = 0;
    for (const row of rows) {
      const own = [...row.cells].map((cell) => cell.textContent.toLowerCase()).join(" ");
      const fits = asked.every((word) => own.includes(word))
        && choices.every(([select, column]) => !select.value || text(row, column) === select.value);
      row.hidden = !fits;
      shown += fits;
    }
    count.textContent = `${shown} of ${rows.length} rows`;
  };
  filter();
}
