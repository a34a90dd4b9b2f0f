// Counts by hour, day or week as a chart and as a table, with what was not seen and how sure they are.

import { get, nowMs, query } from "/page/api.js";
import { Chart } from "/page/chart.js";
import { directionsOf, linesOf, slotsOf } from "/page/count_slots.js";
import { h, put, say, table } from "/page/dom.js";
import { store } from "/page/store.js";
import { duration, named, number, percent, period, t, tick, wholeSince } from "/page/text.js";

const HOUR_MS = 3_600_000;
const RANGES = { // the bucket that fits, and how long before now the first one is
  "24h": ["hour", 23 * HOUR_MS], "7d": ["day", 6 * 24 * HOUR_MS], "30d": ["day", 29 * 24 * HOUR_MS],
  "13w": ["week", 12 * 168 * HOUR_MS], "52w": ["week", 51 * 168 * HOUR_MS],
};
const BUCKETS = ["hour", "day", "week"];
const AGAIN_MS = 900; // after an event, so that a burst is one question
const MIN_BLIND = 0.005;

export function countsView({ choices, signal, go }) {
  const filters = h("form", { class: "filters", onsubmit: (event) => event.preventDefault() });
  const body = h("div", {}, h("p", { class: "quiet" }, t("loading")));
  const view = h("div", {}, h("div", { class: "title" }, h("h1", {}, t("counts.title"))), filters, body);
  const once = () => {
    if (store.cameras === null || view.dataset.begun) return;
    view.dataset.begun = "yes";
    new Counts(filters, body, chosen(choices), signal, go).begin();
  };
  store.addEventListener("cameras", once, { signal });
  once();
  return view;
}

function chosen(choices) {
  const range = choices.get("range") in RANGES ? choices.get("range") : "24h";
  const given = (name) => choices.get(name) ?? "";
  const bucket = BUCKETS.includes(given("by")) ? given("by") : RANGES[range][0];
  return { range, bucket, camera: given("camera"), line: given("line"), direction: given("direction"), class: given("class") };
}

class Counts {
  constructor(filters, body, choice, signal, go) {
    Object.assign(this, { filters, body, choice, signal, go });
    this.timer = 0;
    this.classes = [];
    this.readout = h("p", { class: "readout" });
    this.chart = new Chart((at) => this.point(at), signal);
    this.key = h("ul", { class: "key" });
    this.total = h("p", {});
    this.rows = h("div", {});
  }

  async begin() {
    const names = store.cameras.map((camera) => camera.name);
    if (names.length === 0) return put(this.body, h("p", { class: "quiet" }, t("counts.no_camera")));
    if (!names.includes(this.choice.camera)) this.choice.camera = names[0];
    const csv = h("a", { class: "button", href: this.path({ format: "csv" }), download: `${this.choice.camera}.csv` }, t("counts.csv"));
    const plot = h("section", { class: "card" }, this.total, this.chart.node, this.key, this.readout);
    const sheet = h("section", { class: "card" }, h("div", { class: "title" }, h("h2", {}, t("counts.table")), csv), this.rows);
    put(this.body, plot, sheet);
    store.addEventListener("counts", ({ detail }) => this.soon(detail), { signal: this.signal });
    this.signal.addEventListener("abort", () => clearTimeout(this.timer));
    await this.load();
  }

  soon(event) {
    if (event && event.data.camera !== this.choice.camera) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.load(), event ? AGAIN_MS : 0);
  }

  path(more = {}) {
    const { bucket, camera } = this.choice;
    const values = { since: this.since(), by: `${bucket},name,direction`, camera, class: this.choice.class, ...more };
    return query("/api/v1/counts", values);
  }

  since() {
    return wholeSince(nowMs() - RANGES[this.choice.range][1], this.choice.bucket);
  }

  async load() {
    try {
      const document = await get(this.path());
      if (this.classes.length === 0) await this.findClasses();
      if (!this.signal.aborted) this.show(document);
    } catch (refusal) {
      if (!this.signal.aborted) say(this.total, refusal.message || t("fault.connection"));
    }
  }

  async findClasses() {
    const { camera } = this.choice;
    const { counts } = await get(query("/api/v1/counts", { since: this.since(), by: "class", camera }));
    this.classes = counts.map((row) => row.class).filter((name) => name !== undefined);
  }

  show(document) {
    const lines = linesOf(document);
    const line = lines.includes(this.choice.line) ? this.choice.line : (lines[0] ?? "");
    const all = directionsOf(document, line);
    const directions = all.includes(this.choice.direction) ? [this.choice.direction] : all;
    this.directions = directions;
    this.slots = slotsOf(document, this.choice.camera, this.choice.bucket, line, directions);
    this.drawFilters(lines, line, all);
    this.drawTotal(line);
    this.chart.show(this.slots.map((slot) => ({ ...slot, tick: tick(slot.startS, this.choice.bucket) })));
    put(this.key, this.keys());
    put(this.rows, this.table());
  }

  drawTotal(line) {
    const sums = this.directions.map((direction, i) => {
      const counts = this.slots.map((slot) => slot.values[i].count ?? 0);
      return `${named("direction", direction)} ${number(counts.reduce((a, b) => a + b, 0))}`;
    });
    const blindS = this.slots.reduce((sum, slot) => sum + slot.blindS, 0);
    const blind = blindS >= 1 ? t("counts.blind_for", { time: duration(blindS) }) : "";
    say(this.total, line === "" ? t("counts.none") : [t("counts.of_line", { line, sums: sums.join(", ") }), blind].join(" "));
  }

  keys() {
    const own = this.directions.map((direction, i) =>
      h("li", {}, h("span", { class: `swatch s${i + 1}` }), named("direction", direction)));
    const whisker = h("li", {}, h("span", { class: "swatch whisker" }), t("counts.interval"));
    return [...own, whisker, h("li", {}, h("span", { class: "swatch hatched" }), t("counts.unseen"))];
  }

  point(at) {
    const slot = at === null ? undefined : this.slots[at];
    if (slot === undefined) return say(this.readout, "");
    const values = slot.values.map((value, i) => `${named("direction", this.directions[i])} ${shown(value)}`);
    say(this.readout, [period(slot.startS, this.choice.bucket), ...values, seenText(slot)].join(" · "));
  }

  table() {
    const heads = [[t(`counts.by_${this.choice.bucket}`), ""],
      ...this.directions.map((direction) => [named("direction", direction), "number"]), [t("counts.seen"), ""]];
    const rows = [...this.slots].reverse().map((slot) =>
      [period(slot.startS, this.choice.bucket), ...slot.values.map(shown), seenText(slot)]);
    return table(heads, rows, t("counts.table"));
  }

  drawFilters(lines, line, directions) {
    if (this.filters.childElementCount > 0) return; // a choice makes the view anew
    const { choice } = this;
    const every = ["", t("counts.all")];
    put(this.filters,
      this.select("camera", store.cameras.map((camera) => [camera.name, camera.name]), choice.camera),
      this.select("line", lines.map((name) => [name, name]), line),
      this.select("direction", [every, ...directions.map((name) => [name, named("direction", name)])], choice.direction),
      this.select("class", [every, ...this.classes.map((name) => [name, named("class", name)])], choice.class),
      this.select("range", Object.keys(RANGES).map((name) => [name, t(`range.${name}`)]), choice.range),
      this.select("by", BUCKETS.map((name) => [name, t(`counts.by_${name}`)]), choice.bucket));
  }

  select(name, options, current) {
    const id = `choose-${name}`;
    const shownOptions = options.map(([value, text]) => h("option", { value, selected: value === current }, text));
    const change = ({ target }) => this.go(this.hash(name, target.value));
    return h("div", {}, h("label", { for: id }, t(`choose.${name}`)), h("select", { id, onchange: change }, shownOptions));
  }

  // A camera has its own lines, a range its own periods: what hangs on a choice begins anew with it.
  hash(name, value) {
    const { camera, line, direction, range, bucket } = this.choice;
    const values = { camera, line, direction, class: this.choice.class, range, by: bucket, [name]: value };
    if (name === "camera") values.line = values.direction = values.class = "";
    if (name === "line") values.direction = "";
    if (name === "range") [values.by] = RANGES[value];
    return query("#/counts", values);
  }
}

function shown(value) {
  if (value.count === null) return t("counts.unknown");
  const interval = Number.isFinite(value.low) ? t("counts.low_high", { low: number(value.low), high: number(value.high) }) : "";
  return `${number(value.count)} ${interval}`.trim();
}

function seenText(slot) {
  if (!slot.recorded) return t("counts.not_recorded");
  if (slot.blind < MIN_BLIND) return t("counts.whole");
  const why = Object.keys(slot.reasons).map((reason) => named("blind", reason)).join(", ");
  return t("counts.seen_share", { share: percent(1 - slot.blind), why });
}
