// Elements made in code: text is always text, so that no camera's name can become markup.

export function h(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) assign(node, key, value);
  node.append(...given(children));
  return node;
}

// The same for a part of a drawing.
export function s(tag, properties = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(properties)) assign(node, key, value);
  node.append(...given(children));
  return node;
}

export function put(node, ...children) {
  node.replaceChildren(...given(children));
  return node;
}

// Only where it differs, so that what is selected or read aloud is not torn away.
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
  return node;
}

export function table(heads, rows, caption) {
  const head = h("tr", {}, heads.map(([text, kind]) => h("th", { scope: "col", class: kind }, text)));
  const body = rows.map((cells) => h("tr", {}, cells.map((cell, i) => cellOf(cell, i, heads[i][1]))));
  const parts = [h("caption", { class: "unseen" }, caption), h("thead", {}, head), h("tbody", {}, body)];
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, h("table", {}, parts));
}

export function pairs(entries) {
  const shown = entries.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("dl", { class: "pairs" }, shown.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]).flat());
}

function cellOf(cell, i, kind) {
  return i === 0 ? h("th", { scope: "row", class: kind }, cell) : h("td", { class: kind }, cell);
}

function given(children) {
  return children.flat(3).filter((child) => child !== null && child !== undefined && child !== false);
}

function assign(node, key, value) {
  if (value === null || value === undefined || value === false) return;
  if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
  else if (key === "value") node.value = value;
  else node.setAttribute(key, value === true ? "" : String(value));
}
