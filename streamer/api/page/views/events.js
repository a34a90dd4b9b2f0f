// Events as they come, the newest first, of all cameras or one, of all kinds or one.

import { get, nowMs, query } from "/page/api.js";
import { showDialog } from "/page/dialog.js";
import { h, put, say } from "/page/dom.js";
import { badge, kindOf } from "/page/state.js";
import { TYPES } from "/page/live.js";
import { store } from "/page/store.js";
import { moment, named, number, t } from "/page/text.js";

const WITH_A_WAY = ["streamer.line.crossed.v1", "streamer.zone.entered.v1", "streamer.zone.exited.v1", "streamer.wrongway.detected.v1", "streamer.dwell.exceeded.v1", "streamer.speed.measured.v1"];
const MAX_SHOWN = 200;
const MAX_PAGES = 5; // of the past, of 1000 events each
const PAST_MS = 900_000;
const QUIET = ["streamer.counts.v1", "streamer.track.ended.v1", "streamer.heatmap.measured.v1", "streamer.flow.matrix.v1"]; // many, and no news: shown when asked for

export function eventsView({ choices, signal, go }) {
  const choice = { camera: choices.get("camera") ?? "", type: choices.get("type") ?? "" };
  const log = h("ol", { class: "log", "aria-label": t("events.title") });
  const state = h("span", { class: "badge" });
  const note = h("p", { class: "quiet" }, t("loading"));
  const filters = h("div", { class: "filters" });
  const seen = new Set();
  const add = (event) => { if (wanted(event, choice)) prepend(log, seen, event, note); };
  const showState = () => streamState(state);
  store.addEventListener("event", ({ detail }) => add(detail), { signal });
  store.addEventListener("stream", showState, { signal });
  store.addEventListener("cameras", () => drawFilters(filters, choice, go), { signal });
  if (store.cameras !== null) drawFilters(filters, choice, go);
  showState();
  past(choice, add, note);
  return h("div", {}, h("div", { class: "title" }, h("h1", {}, t("events.title")), state), filters,
    h("section", { class: "card" }, note, log));
}

function streamState(state) {
  state.className = `badge ${store.streaming ? "good" : "warn"}`;
  say(state, t(store.streaming ? "events.live" : "events.reconnecting"));
}

function wanted(event, choice) {
  if (choice.camera !== "" && event.data.camera !== choice.camera) return false;
  return choice.type === "" ? !QUIET.includes(event.type) : event.type === choice.type;
}

async function past(choice, add, note) {
  try {
    let after = "";
    for (let page = 0; page < MAX_PAGES; page += 1) {
      const since = new Date(nowMs() - PAST_MS).toISOString();
      const found = await get(query("/api/v1/events", { ...choice, since, after, limit: 1000 }));
      found.events.forEach(add);
      after = found.next;
      if (after === null) break;
    }
    if (note.textContent === t("loading")) say(note, t("events.none"));
  } catch (refusal) {
    say(note, refusal.message || t("fault.connection"));
  }
}

// In the order of their time, since those of the past may be read while new ones come.
function prepend(log, seen, event, note) {
  if (seen.has(event.id)) return;
  seen.add(event.id);
  say(note, "");
  const line = item(event);
  const next = [...log.children].find((one) => one.dataset.time <= event.time);
  log.insertBefore(line, next ?? null);
  while (log.childElementCount > MAX_SHOWN) log.lastElementChild.remove();
}

function item(event) {
  const camera = h("a", { href: `#/camera/${encodeURIComponent(event.data.camera)}` }, event.data.camera);
  return h("li", { "data-time": event.time, "data-type": event.type },
    h("time", { datetime: event.time }, moment(event.time)), camera,
    h("span", { class: "what" }, badge(kind(event), t(`event.${event.type}`)), ` ${what(event)} `, WITH_A_WAY.includes(event.type) && why(event), event.type === "streamer.clip.v1" && store.session.role === "admin" && clip(event)));
}

// What an event rests on, as a picture.
function why(event) {
  const text = `${t(`event.${event.type}`)} ${what(event)}`;
  const kept = `/api/v1/events/${event.id.split("/").map(encodeURIComponent).join("/")}`;
  const path = store.session.pictures ? `${kept}/why.jpg` : `${kept}/why?format=svg`; // as the other pictures
  const open = () => {
    const note = h("p", { class: "quiet", role: "status" });
    const image = h("img", { class: "why-picture", src: path, alt: t("events.why_of", { text }), onerror: () => say(note, t("events.no_why")) });
    showDialog(text, h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": text }, image), note, h("p", { class: "quiet small" }, t("events.why_key")));
  };
  return h("button", { type: "button", class: "link", onclick: open, "aria-label": t("events.why_of", { text }) }, t("events.why"));
}

// Of an event that tells of a clip: the file itself, for admins, as all pictures.
function clip(event) {
  const path = `/api/v1/events/${event.data.event.split("/").map(encodeURIComponent).join("/")}/clip`;
  return h("a", { class: "link", href: path, target: "_blank", rel: "noopener" }, t("events.clip"));
}

function kind({ type, data }) {
  if (type === "streamer.alert.v1") return data.state === "raised" ? "warn" : "good";
  if (type !== "streamer.camera.state.v1") return "idle";
  return data.state === "live" && (data.health ?? "ok") !== "ok" ? "bad" : kindOf(data.state);
}

function what({ type, data }) {
  if (type === "streamer.camera.state.v1") return stateText(data);
  if (type === "streamer.alert.v1") return [data.alert, named("alert", data.state), data.line ?? data.zone].filter(Boolean).join(" · ");
  if (type === "streamer.counts.v1") return t("event.bucket", { seconds: number(data.bucket_s) });
  const place = data.line ?? data.zone ?? data.flow ?? "";
  const way = data.direction === undefined ? "" : named("direction", data.direction);
  const object = data.class === undefined ? "" : named("class", data.class);
  return [place, way, object, data.action ?? data.label ?? ""].filter((text) => text !== "").join(" · ");
}

function stateText(data) {
  const health = data.health ?? "ok";
  const word = health === "ok" ? t(`state.${data.state}`) : t("state.blind", { why: t(`blind.${health}`) });
  return [word, data.health_detail ?? data.detail].filter(Boolean).join(" · ");
}

function drawFilters(filters, choice, go) {
  if (filters.childElementCount > 0) return;
  const cameras = store.cameras.map((camera) => [camera.name, camera.name]);
  const types = TYPES.map((type) => [type, t(`event.${type}`)]);
  put(filters, select("camera", [["", t("events.all_cameras")], ...cameras], choice, go),
    select("type", [["", t("events.all_types")], ...types], choice, go));
}

function select(name, options, choice, go) {
  const id = `choose-${name}`;
  const shown = options.map(([value, text]) => h("option", { value, selected: value === choice[name] }, text));
  const change = ({ target }) => go(query("#/events", { ...choice, [name]: target.value }));
  return h("div", {}, h("label", { for: id }, t(`choose.${name}`)), h("select", { id, onchange: change }, shown));
}
