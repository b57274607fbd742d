"use strict";
// A picture is [name, width, height, [[class, score, x0, y0, x1, y1], ...], line]; its thumbnail and mask lie in
// a part of their own, which is read when one of its pictures is shown.
const parts = [...document.querySelectorAll("script.part")].map((part) => JSON.parse(part.textContent));
const looks = [...document.querySelectorAll("script.looks")];
const places = new Map(parts.flatMap((part, number) => part.map((picture, place) => [picture, [number, place]])));
const pictures = parts.flat();
const facts = JSON.parse(document.getElementById("facts").textContent);
const byId = (id) => document.getElementById(id);
const make = (name, className, text) => {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
};
const labelOf = (number) => facts.labels[number] ?? `class ${number}`;
const hue = (number) => `hsl(${(number * 222.5) % 360} 85% 50%)`;
const PAGE = 120;
let shown = [];

// Of the classes of which one is right, only the best is the answer.
function candidates(picture) {
  return facts.best ? picture[3].slice(0, 1) : picture[3];
}

function matches(picture, wanted, file, from, to) {
  if (file && !picture[0].toLowerCase().includes(file)) return false;
  const found = candidates(picture);
  if (!found.length) return !wanted && from === 0;
  return found.some(
    ([number, score]) => score >= from && score <= to && (!wanted || labelOf(number).toLowerCase().includes(wanted)),
  );
}

function best(picture) {
  return picture[3].length ? picture[3][0][1] : 0;
}

function number(id, otherwise) {
  const value = byId(id).valueAsNumber;
  return Number.isNaN(value) ? otherwise : value;
}

function apply() {
  const wanted = byId("label").value.trim().toLowerCase();
  const file = byId("file").value.trim().toLowerCase();
  const [from, to, order] = [number("from", 0), number("to", 1), byId("order").value];
  shown = pictures.filter((picture) => matches(picture, wanted, file, from, to));
  if (order !== "given") shown.sort((a, b) => (order === "low" ? best(a) - best(b) : best(b) - best(a)));
  byId("count").textContent = `${shown.length.toLocaleString("en")} of ${pictures.length.toLocaleString("en")} pictures`;
  for (const chip of byId("chips").children) {
    chip.setAttribute("aria-pressed", String(chip.dataset.label.toLowerCase() === wanted));
  }
  byId("cards").replaceChildren();
  more();
}

function more() {
  const start = byId("cards").childElementCount;
  byId("cards").append(...shown.slice(start, start + PAGE).map(card));
  byId("more").hidden = byId("cards").childElementCount >= shown.length;
}

// Returns thumbnail and mask of a picture.
function lookOf(picture) {
  const [number, place] = places.get(picture);
  if (looks[number] instanceof Element) looks[number] = JSON.parse(looks[number].textContent);
  return looks[number][place];
}

function shot([name, width, height, found], [thumbnail, mask]) {
  const frame = make("div", "shot");
  const image = make("img");
  const scale = Math.min(1, facts.side / Math.max(width, height)) * facts.zoom;
  image.width = Math.max(1, Math.round(width * scale));
  image.height = Math.max(1, Math.round(height * scale));
  image.alt = name;
  image.src = `data:image/jpeg;base64,${thumbnail}`;
  frame.append(image);
  if (mask) {
    const over = make("img", "mask");
    over.alt = "";
    over.src = `data:image/png;base64,${mask}`;
    frame.append(over);
  }
  if (found.some((one) => one.length > 2)) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("preserveAspectRatio", "none");
    for (const [number, score, x0, y0, x1, y1] of [...found].reverse()) {
      const box = document.createElementNS(svg.namespaceURI, "rect");
      const title = document.createElementNS(svg.namespaceURI, "title");
      title.textContent = `${labelOf(number)} ${score.toFixed(3)}`;
      for (const [key, value] of Object.entries({ x: x0, y: y0, width: x1 - x0, height: y1 - y0 })) {
        box.setAttribute(key, String(Math.max(0, value)));
      }
      box.style.stroke = hue(number);
      box.append(title);
      svg.append(box);
    }
    frame.append(svg);
  }
  return frame;
}

function card(picture) {
  const [name, , , found, line] = picture;
  const [thumbnail, mask] = lookOf(picture);
  const item = make("li", facts.tall ? "card tall" : "card");
  if (thumbnail) item.append(shot(picture, [thumbnail, mask]));
  const text = make("div", "text");
  const file = make("div", "file");
  file.title = name;
  file.append(make("bdi", "", name));
  const list = make("ol", "answers");
  for (const [number, score, ...box] of found.slice(0, facts.rows)) {
    const row = make("li");
    const bar = make("span", "bar");
    bar.style.width = `${Math.min(100, Math.max(0, 100 * score))}%`;
    const label = make("span", "label");
    label.title = labelOf(number);
    if (box.length) {
      const swatch = make("span", "swatch");
      swatch.style.background = hue(number);
      label.append(swatch);
    } else if (mask) {
      const swatch = make("span", "swatch");
      swatch.style.background = `rgb(${facts.palette[number]})`;
      label.append(swatch);
    }
    label.append(labelOf(number));
    row.append(bar, label, make("span", "score", facts.percent ? `${(100 * score).toFixed(1)} %` : score.toFixed(3)));
    list.append(row);
  }
  text.append(file, list);
  if (found.length > facts.rows) text.append(make("div", "quiet", `and ${found.length - facts.rows} more`));
  if (!found.length) text.append(make("div", "quiet", line || facts.none));
  item.append(text);
  return item;
}

function start() {
  const counts = new Map();
  for (const picture of pictures) {
    for (const number of new Set(candidates(picture).map((one) => one[0]))) {
      counts.set(number, (counts.get(number) ?? 0) + 1);
    }
  }
  const frequent = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 8);
  for (const [number, count] of frequent) {
    const chip = make("button");
    chip.append(make("span", "", labelOf(number)), make("b", "", count.toLocaleString("en")));
    chip.type = "button";
    chip.dataset.label = labelOf(number);
    chip.addEventListener("click", () => {
      byId("label").value = chip.getAttribute("aria-pressed") === "true" ? "" : chip.dataset.label;
      apply();
    });
    byId("chips").append(chip);
  }
  for (const number of Object.keys(facts.labels)) {
    const option = make("option");
    option.value = labelOf(number);
    byId("labels").append(option);
  }
  for (const line of facts.unreadable) byId("unreadable").querySelector("ul").append(make("li", "", line));
  byId("unreadable").hidden = !facts.unreadable.length;
  for (const id of ["label", "file", "from", "to", "order"]) byId(id).addEventListener("input", apply);
  document.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
  byId("more").addEventListener("click", more);
  new IntersectionObserver((seen) => {
    if (seen.some((one) => one.isIntersecting) && !byId("more").hidden) more();
  }, { rootMargin: "600px" }).observe(byId("end"));
  apply();
}

start();
