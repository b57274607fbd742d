"use strict";
const table = document.getElementById("networks");
const body = table.tBodies[0];
const rows = [...body.rows];
const valueOf = (row, column) => {
  const cell = row.cells[column];
  if (column === 0) return cell.firstChild.textContent.toLowerCase();
  return Number.parseFloat(cell.dataset.value ?? cell.textContent);
};

function filter() {
  const name = document.getElementById("name").value.trim().toLowerCase();
  const task = document.getElementById("task").value;
  let shown = 0;
  for (const row of rows) {
    row.hidden = (task && row.dataset.task !== task) || !row.cells[0].textContent.toLowerCase().includes(name);
    shown += row.hidden ? 0 : 1;
  }
  document.getElementById("count").textContent = `${shown} of ${rows.length} networks`;
}

function sortBy(column, head) {
  const falling = head.getAttribute("aria-sort") === "ascending";
  for (const one of table.tHead.rows[0].cells) one.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", falling ? "descending" : "ascending");
  const order = (a, b) => {
    const [one, other] = [valueOf(a, column), valueOf(b, column)];
    // Networks without the figure stay below.
    if (Number.isNaN(one) || Number.isNaN(other)) return Number.isNaN(one) - Number.isNaN(other);
    return (one < other ? -1 : one > other ? 1 : 0) * (falling ? -1 : 1);
  };
  body.append(...rows.sort(order));
}

[...table.tHead.rows[0].cells].forEach((head, column) => {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...head.childNodes);
  button.addEventListener("click", () => sortBy(column, head));
  head.append(button);
});
for (const id of ["name", "task"]) document.getElementById(id).addEventListener("input", filter);
document.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
filter();
