// One camera: its picture, today's counts, how it stood, and its settings.

import { ask, cameraPath, get, nowMs, query } from "/page/api.js";
import { slotsOf } from "/page/count_slots.js";
import { confirm_ } from "/page/dialog.js";
import { h, pairs, put, say, table } from "/page/dom.js";
import { ModelChoice } from "/page/model_choice.js";
import { occupanciesOf } from "/page/occupancies.js";
import { livePicture } from "/page/pictures.js";
import { badge, kindOf, standing } from "/page/state.js";
import { store } from "/page/store.js";
import { duration, milliseconds, moment, named, number, percent, period, t, wholeSince } from "/page/text.js";
import { byLine } from "/page/views/wall.js";

const OVERLAY = "boxes,trails,lines";
const PICTURE_WIDTH = 1280;
const DAY_MS = 86_400_000;
const MIN_BLIND_S = 0.5;
const MAX_STATES = 30;
const STATE_TYPE = "streamer.camera.state.v1";

export function cameraView({ of: name, signal, go }) {
  const head = h("span", {});
  const why = h("p", { class: "note", hidden: true });
  const now = h("div", {});
  const counts = h("div", {});
  const states = h("div", {});
  const settings = h("div", {});
  const draw = () => { drawHead(name, head, why); drawNow(name, now); };
  const drawToday = () => drawCounts(name, counts);
  store.addEventListener("cameras", draw, { signal });
  store.addEventListener("counts", drawToday, { signal });
  store.addEventListener("event", ({ detail }) => {
    if (detail.type === STATE_TYPE && detail.data.camera === name) drawStates(name, states);
  }, { signal });
  if (store.cameras !== null) draw();
  drawToday();
  drawStates(name, states);
  drawSettings(name, settings);
  const remove = store.may("operator") && h("button", { class: "danger", onclick: () => confirmRemoval(name, go) }, t("camera.remove"));
  const more = h("a", { class: "button", href: query("#/counts", { camera: name }) }, t("camera.charts"));
  const draw_ = h("a", { class: "button", href: `#/rules/${encodeURIComponent(name)}` }, t("camera.rules"));
  const days = h("div", {}, h("p", { class: "quiet" }, t("loading")));
  drawDays(name, days);
  return h("div", {}, h("div", { class: "title" }, h("h1", {}, name), head, draw_, more, remove), why,
    h("div", { class: "columns" },
      section("camera.picture", shownPicture(name, signal), store.session.pictures && "wide"), section("camera.today", counts), section("camera.now", now), occupanciesOf(name, signal),
      section("camera.days", days), section("camera.history", states), section("camera.settings", settings)));
}

function shownPicture(name, signal) {
  const isDrawn = () => localStorage.getItem("overlay") !== "off";
  const image = livePicture(name, { overlay: () => (isDrawn() ? OVERLAY : "none"), width: PICTURE_WIDTH, signal });
  if (image === null) return h("p", { class: "quiet" }, t(noPicture()));
  const change = ({ target }) => {
    localStorage.setItem("overlay", target.checked ? "on" : "off");
    image.again();
  };
  const box = h("input", { type: "checkbox", id: "overlay", checked: isDrawn(), onchange: change });
  return h("div", {}, image, h("label", { class: "switch", for: "overlay" }, box, t("camera.overlay")));
}

// How much of each of the last days was seen, and why the rest was not.
async function drawDays(name, days) {
  try {
    const found = await get(query("/api/v1/counts", { camera: name, since: wholeSince(nowMs() - 6 * DAY_MS, "day"), by: "day" }));
    const slots = slotsOf(found, name, "day", "", []).filter((slot) => slot.recorded).reverse();
    if (slots.length === 0) return put(days, h("p", { class: "quiet" }, t("counts.not_recorded")));
    const rows = slots.map((slot) => [period(slot.startS, "day"), ...dayCells(slot)]);
    put(days, table([[t("camera.day"), ""], [t("counts.seen"), ""], [t("camera.why"), ""]], rows, t("camera.days")));
  } catch (refusal) {
    say(days, refusal.message || t("fault.connection"));
  }
}

function dayCells({ blind, seenS, reasons }) {
  const why = Object.entries(reasons).filter(([, s]) => s >= MIN_BLIND_S).map(([word, s]) => `${named("blind", word)} ${duration(s)}`).join(", ");
  const bar = h("progress", { max: 1, value: 1 - blind, "aria-label": percent(1 - blind) });
  return [h("div", {}, bar, h("span", { class: "small" }, `${percent(1 - blind)} · ${duration(seenS)}`)), why];
}

function section(key, body, wide) {
  return h("section", { class: wide ? `card ${wide}` : "card" }, h("h2", {}, t(key)), body);
}

function noPicture() {
  return store.session.people === "show" ? "picture.not_allowed" : "picture.private";
}

function drawHead(name, head, why) {
  const camera = store.camera(name);
  const stands = camera === null ? { kind: "bad", word: t("camera.unknown"), why: "" } : standing(camera);
  put(head, badge(stands.kind, stands.word));
  say(why, stands.why);
  why.hidden = stands.why === "";
}

function drawNow(name, now) {
  const camera = store.camera(name);
  if (camera === null) return put(now);
  const frames = camera.frames ?? {};
  const dropped = Object.values(frames.dropped ?? {}).reduce((a, b) => a + b, 0);
  const seen = store.today.cameras.get(name)?.seen;
  const blind = seen && Object.entries(seen.blind).map(([why, s]) => `${named("blind", why)} ${duration(s)}`).join(", ");
  put(now, pairs([
    [t("camera.size"), camera.width ? `${camera.width} × ${camera.height} ${camera.codec}` : null],
    [t("camera.rates"), t("camera.rates_of", { decoded: number(camera.fps_decoded, 1), inferred: number(camera.fps_inferred, 1) })],
    [t("camera.ages"), `${milliseconds(camera.age_ms?.p50)} / ${milliseconds(camera.age_ms?.p99)}`],
    [t("camera.frames"), t("camera.frames_of", { inferred: number(frames.inferred), dropped: number(dropped) })],
    [t("camera.detector"), camera.detector?.name],
    [t("camera.seen_today"), seen ? duration(seen.seen_s) : null],
    [t("camera.blind"), blind || null],
  ]));
}

function drawCounts(name, counts) {
  const rows = [...byLine(store.today.cameras.get(name)?.rows ?? [])].flatMap(([line, ways]) =>
    ways.map((way) => [line, named("direction", way.direction), number(way.count)]));
  if (rows.length === 0) return put(counts, h("p", { class: "quiet" }, t("camera.nothing_today")));
  put(counts, table([[t("choose.line"), ""], [t("choose.direction"), ""], [t("camera.count"), "number"]], rows, t("camera.today")));
}

async function drawStates(name, states) {
  try {
    const path = query("/api/v1/events", { camera: name, type: STATE_TYPE, since: "7d", limit: 1000 });
    const { events } = await get(path);
    const rows = events.slice(-MAX_STATES).reverse().map(stateRow);
    put(states, rows.length === 0 ? h("p", { class: "quiet" }, t("camera.no_history"))
      : table([[t("events.time"), ""], [t("camera.state"), ""], [t("camera.why"), ""]], rows, t("camera.history")));
  } catch (refusal) {
    say(states, refusal.message);
  }
}

function stateRow({ time, data }) {
  const health = data.health ?? "ok";
  const blind = data.state === "live" && health !== "ok";
  const word = blind ? t("state.blind", { why: t(`blind.${health}`) }) : t(`state.${data.state}`);
  return [moment(time), badge(blind ? "bad" : kindOf(data.state), word), (blind ? data.health_detail : data.detail) ?? ""];
}

async function drawSettings(name, settings) {
  try {
    const { settings: found } = await get(cameraPath(name));
    if (found === null) return put(settings, h("p", { class: "quiet" }, t("camera.unreadable")));
    const keys = h("div", {}, pairs(flat(found)));
    put(settings, store.may("operator") && modelForm(name, found.model ?? "", () => drawKeys(name, keys)), keys);
  } catch (refusal) {
    say(settings, refusal.message);
  }
}

async function drawKeys(name, keys) {
  const { settings } = await get(cameraPath(name));
  if (settings !== null) put(keys, pairs(flat(settings)));
}

// What it counts by, which can be changed: its tracks begin anew. What is chosen while a change is on its way stays chosen.
function modelForm(name, model, changed) {
  const choice = new ModelChoice("model", model);
  const fault = h("p", { class: "fault", role: "alert", id: "fault-model" });
  const save = h("button", { disabled: true }, t("draw.save"));
  const form = h("form", { class: "field" }, h("label", { for: "model" }, t("add.model")), choice.node, fault, save);
  let saved = model;
  let saving = false;
  const allow = () => { save.disabled = saving || choice.select.value === saved; };
  choice.select.addEventListener("change", allow);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { value } = choice.select;
    saving = true;
    allow();
    say(fault, "");
    try {
      await ask("PATCH", cameraPath(name), { values: { model: value || null } });
      saved = value;
      await changed();
    } catch (refusal) {
      say(fault, refusal.message || t("fault.connection"));
    } finally {
      saving = false;
      allow();
    }
  });
  choice.load().catch((refusal) => say(fault, refusal.message || t("fault.connection")));
  return form;
}

// The keys of the camera's file, with dots, as `streamer camera set` takes them; rules by their names.
function flat(value, prefix = "") {
  return Object.entries(value).flatMap(([key, item]) => {
    const place = `${prefix}${key}`;
    if (Array.isArray(item)) return [[place, item.map((one) => one?.name ?? one).join(", ")]];
    if (item !== null && typeof item === "object") return flat(item, `${place}.`);
    return [[place, item === null || key === "name" ? null : String(item)]];
  });
}

function confirmRemoval(name, go) {
  confirm_({ title: t("camera.remove_ask", { name }), text: t("camera.remove_what"), press: t("camera.remove") }, async () => {
    await ask("DELETE", cameraPath(name));
    await store.refresh();
    go("#/");
  });
}
