// How many are inside, by each of a camera's occupancies, and for operators the form that sets it: at closing time, or
// after somebody has counted. What was counted before stays in the record.

import { ask, cameraPath, get } from "/page/api.js";
import { h, put, say } from "/page/dom.js";
import { store } from "/page/store.js";
import { moment, number, t } from "/page/text.js";

const TYPE = "streamer.occupancy.changed.v1";

// Empty where the camera has no such rule.
export function occupanciesOf(camera, signal) {
  const node = h("section", { class: "card", hidden: true });
  const rows = new Map();
  store.addEventListener("event", ({ detail }) => {
    if (detail.type === TYPE && detail.data.camera === camera) rows.get(detail.data.occupancy)?.(detail.data.count, detail.time);
  }, { signal });
  load(camera, node, rows);
  return node;
}

async function load(camera, node, rows) {
  try {
    const { occupancies } = await get(`${cameraPath(camera)}/occupancies`);
    node.hidden = occupancies.length === 0;
    put(node, h("h2", {}, t("inside.title")), occupancies.map((one) => row(camera, one, rows)));
  } catch (refusal) {
    node.hidden = false;
    put(node, h("p", { class: "fault" }, refusal.message || t("fault.connection")));
  }
}

function row(camera, { name, count, time }, rows) {
  const shown = h("span", { "data-inside": name });
  const show = (value, at) => say(shown, value === null ? t("inside.unknown") : t("inside.now", { count: number(value), since: moment(at) }));
  rows.set(name, show);
  show(count, time);
  return h("div", {}, h("p", {}, h("strong", {}, name), " ", shown), store.may("operator") && form(camera, name));
}

function form(camera, name) {
  const id = `inside-${name}`;
  const count = h("input", { id, type: "number", min: 0, max: 1000000, value: 0, required: true });
  const reason = h("input", { id: `${id}-why`, maxlength: 500, required: true });
  const fault = h("p", { class: "fault", role: "alert" });
  const press = h("button", {}, t("inside.set"));
  const send = async (event) => {
    event.preventDefault();
    press.disabled = true;
    say(fault, "");
    try {
      const body = { count: Number(count.value), reason: reason.value.trim() };
      await ask("POST", `${cameraPath(camera)}/occupancies/${encodeURIComponent(name)}`, body); // the event shows it
      reason.value = "";
    } catch (refusal) {
      say(fault, refusal.message || t("fault.connection"));
    }
    press.disabled = false;
  };
  return h("form", { class: "fields", onsubmit: send }, h("div", {}, h("label", { for: id }, t("inside.count", { name })), count),
    h("div", {}, h("label", { for: reason.id }, t("inside.reason")), reason), fault, press);
}
