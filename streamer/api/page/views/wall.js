// All cameras at a glance: state, rate, age, and what was counted today.

import { h, put, say } from "/page/dom.js";
import { picture } from "/page/pictures.js";
import { badge, standing } from "/page/state.js";
import { store } from "/page/store.js";
import { duration, milliseconds, named, number, t } from "/page/text.js";

const PICTURE_EVERY_MS = 30_000;
const PICTURE_WIDTH = 480;
const SEVERITY = { info: "idle", warning: "warn", critical: "bad" };
const FRESH_MS = 900;

export function wallView({ signal }) {
  const cards = new Map();
  const wall = h("div", { class: "wall" });
  const empty = h("p", { class: "quiet" });
  const add = store.may("operator") && h("a", { class: "button main", href: "#/add" }, t("add.title"));
  const update = () => drawAll(wall, empty, cards, signal);
  store.addEventListener("cameras", update, { signal });
  store.addEventListener("counts", ({ detail }) => drawCounts(cards, detail), { signal });
  if (store.cameras !== null) update();
  return h("div", {}, h("div", { class: "title" }, h("h1", {}, t("wall.title")), add), empty, wall);
}

function drawAll(wall, empty, cards, signal) {
  const names = store.cameras.map((camera) => camera.name);
  if (names.join("\n") !== [...cards.keys()].join("\n")) {
    cards.clear();
    for (const name of names) cards.set(name, card(name, signal));
    put(wall, [...cards.values()].map((one) => one.node));
  }
  say(empty, names.length > 0 ? "" : t(store.may("operator") ? "wall.empty" : "wall.empty_viewer"));
  for (const camera of store.cameras) draw(cards.get(camera.name), camera);
  drawCounts(cards);
}

function card(name, signal) {
  const state = h("span", { class: "badge" });
  const alerts = h("div", { class: "alerts" });
  const why = h("p", { class: "why" });
  const meta = h("p", { class: "meta" });
  const lines = h("ul", { class: "lines" });
  const link = h("a", { href: `#/camera/${encodeURIComponent(name)}` }, name);
  const head = h("div", { class: "head" }, h("h2", {}, link), state);
  const node = h("article", { class: "card camera", "data-camera": name }, head,
    picture(name, PICTURE_WIDTH, PICTURE_EVERY_MS, signal), why, alerts, lines, meta);
  return { node, state, alerts, why, meta, lines, shown: "" };
}

function draw(one, camera) {
  const { kind, word, why } = standing(camera);
  one.node.className = `card camera is-${kind}`;
  one.state.className = `badge ${kind}`;
  say(one.state, word);
  say(one.why, why);
  one.why.hidden = why === "";
  put(one.alerts, (camera.alerts ?? []).map(({ alert, severity }) => badge(SEVERITY[severity] ?? "warn", t("alert.now", { alert }))));
  const live = camera.state === "live";
  const age = live && t("camera.age", { age: milliseconds(camera.age_ms?.p50) });
  const rate = live && t("camera.rate", { fps: number(camera.fps_inferred, 1) });
  put(one.meta, [rate, age, blindToday(camera.name)].filter(Boolean).map((text) => h("span", {}, text)));
}

// What of today was not seen belongs beside today's count.
export function blindToday(name) {
  const seen = store.today.cameras.get(name)?.seen;
  return seen && seen.blind_s >= 1 ? t("camera.blind_today", { time: duration(seen.blind_s) }) : "";
}

function drawCounts(cards, event) {
  for (const [name, one] of cards) {
    const rows = store.today.cameras.get(name)?.rows ?? [];
    const shown = JSON.stringify(rows.map((row) => [row.name, row.direction, row.count]));
    if (shown === one.shown) continue;
    one.shown = shown;
    put(one.lines, [...byLine(rows)].map(([line, ways]) => lineItem(line, ways, event)));
  }
}

export function byLine(rows) {
  const found = new Map();
  for (const row of [...rows].sort((a, b) => `${a.name} ${a.direction}`.localeCompare(`${b.name} ${b.direction}`))) {
    if (row.count === null) continue; // no count, but a time that was not seen
    found.set(row.name, [...(found.get(row.name) ?? []), row]);
  }
  return found;
}

function lineItem(line, ways, event) {
  const parts = ways.map((way) => {
    const value = h("dd", { "data-count": `${line}/${way.direction}` }, number(way.count));
    if (event?.data.line === line && event.data.direction === way.direction) flash(value);
    return h("div", {}, h("dt", {}, named("direction", way.direction)), value);
  });
  return h("li", {}, h("div", { class: "line-name" }, t("wall.today", { line })), h("dl", { class: "ways" }, parts));
}

function flash(node) {
  node.classList.add("fresh");
  setTimeout(() => node.classList.remove("fresh"), FRESH_MS);
}
