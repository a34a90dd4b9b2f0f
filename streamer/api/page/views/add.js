// Adding a camera. What the box refuses is said at the field that it is about, in the API's own words.

import { ask } from "/page/api.js";
import { h, pairs, put, say } from "/page/dom.js";
import { ModelChoice } from "/page/model_choice.js";
import { badge } from "/page/state.js";
import { store } from "/page/store.js";
import { duration, number, t } from "/page/text.js";

const FIELDS = {
  url: { required: true, inputmode: "url", placeholder: "rtsp://192.168.1.20/stream1", hint: true },
  name: { required: true, maxlength: 63, placeholder: "gate", hint: true },
  username: { autocomplete: "off" },
  password: { type: "password", autocomplete: "new-password", hint: true },
};
const OF_FIELD = /^(?:camera\.)?(url|name|username|password|model)\b/;

export function addView({ go }) {
  if (!store.may("operator")) return h("div", {}, h("h1", {}, t("add.title")), h("p", {}, t("add.not_allowed")));
  const fault = h("p", { class: "fault", role: "alert", id: "fault" });
  const press = h("button", { class: "main" }, t("add.press"));
  const found = h("div", { class: "found", role: "status" });
  const look = h("button", { type: "button" }, t("add.look"));
  const seen = { values: "" }; // of the last look that went well
  const cancel = h("a", { class: "button", href: "#/" }, t("cancel"));
  const form = h("form", { class: "card narrow", novalidate: true }, Object.entries(FIELDS).map(field), modelField(),
    found, fault, h("div", { class: "actions" }, cancel, look, press));
  form.addEventListener("submit", (event) => { event.preventDefault(); submit(form, [look, press], fault, go, seen); });
  form.addEventListener("input", () => put(found));
  look.addEventListener("click", () => lookAt(form, [look, press], fault, found, seen));
  return h("div", {}, h("div", { class: "title" }, h("h1", {}, t("add.title"))), form);
}

function field([name, { hint, ...attributes }]) {
  const described = `${hint ? `hint-${name} ` : ""}fault-${name}`;
  return h("div", { class: "field" }, h("label", { for: name }, t(`add.${name}`)),
    h("input", { id: name, name, "aria-describedby": described, spellcheck: "false", autocapitalize: "none", ...attributes }),
    h("p", { class: "fault", id: `fault-${name}` }),
    hint && h("p", { class: "hint", id: `hint-${name}` }, t(`add.${name}_hint`)));
}

function modelField() {
  const choice = new ModelChoice("model");
  const fault = h("p", { class: "fault", id: "fault-model" });
  choice.load().catch((refusal) => say(fault, refusal.message || t("fault.connection")));
  return h("div", { class: "field" }, h("label", { for: "model" }, t("add.model")), choice.node, fault);
}

async function lookAt(form, buttons, fault, found, seen) {
  const values = complete(form, fault);
  if (values === null) return;
  say(found, t("add.looking"));
  await busy(buttons, async () => {
    try {
      const report = await ask("POST", "/api/v1/cameras/test", document_(values));
      seen.values = report.ok ? JSON.stringify(values) : "";
      put(found, await drawReport(report));
    } catch (refusal) {
      put(found);
      show(form, fault, refusal, values.url);
    }
  });
}

// `seen`: what was looked at a moment ago is not looked at again.
async function submit(form, buttons, fault, go, seen, unseen = false) {
  const values = complete(form, fault);
  if (values === null) return;
  const check = !unseen && seen.values !== JSON.stringify(values);
  await busy(buttons, async () => {
    try {
      await ask("POST", check ? "/api/v1/cameras" : "/api/v1/cameras?check=false", document_(values));
      await store.refresh();
      go(`#/camera/${encodeURIComponent(values.name.trim())}`);
    } catch (refusal) {
      show(form, fault, refusal, values.url);
      if (refusal.status === 502) offerUnseen(fault, () => submit(form, buttons, fault, go, seen, true));
    }
  });
}

function offerUnseen(fault, act) {
  fault.append(" ", h("button", { type: "button", onclick: act }, t("add.anyway")));
}

async function busy(buttons, work) {
  for (const button of buttons) button.disabled = true;
  await work();
  for (const button of buttons) button.disabled = false;
}

// The form's values; null where what is needed is missing, which is said at its field.
function complete(form, fault) {
  clear(form, fault);
  const values = Object.fromEntries(new FormData(form));
  const missing = ["url", "name"].filter((name) => values[name].trim() === "");
  missing.reverse().forEach((name) => at(form, name, t("add.missing")));
  return missing.length > 0 ? null : values;
}

async function drawReport({ ok, problem, advice, info, fps_measured: fps, keyframe_gap_s: gap, keyframe_gap_open: open, jpeg_base64: jpeg }) {
  const size = info && `${info.width} × ${info.height} ${info.codec}`;
  const gapText = ok && gap > 0 && t(open ? "add.gap_open" : "add.gap", { gap: duration(gap) });
  const facts = pairs([[t("camera.size"), size], [t("camera.rates"), ok ? t("camera.rate", { fps: number(fps, 1) }) : null],
    [t("add.key_frames"), gapText || null]]);
  const image = jpeg ? await drawn(jpeg) : null;
  const hints = advice.map((text) => h("li", {}, text));
  return [h("p", {}, badge(ok ? "good" : "bad", t(ok ? "add.works" : "add.fails")), ok ? "" : ` ${problem}`), image, facts,
    hints.length > 0 && h("ul", {}, hints)];
}

// On a canvas: an address with the picture in it is nothing that the page may load.
async function drawn(jpeg) {
  const bytes = Uint8Array.from(atob(jpeg), (letter) => letter.charCodeAt(0));
  const picture = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
  const canvas = h("canvas", { class: "picture", width: picture.width, height: picture.height, role: "img", "aria-label": t("add.first_picture") });
  canvas.getContext("2d").drawImage(picture, 0, 0);
  return canvas;
}

function document_({ url, name, username, password, model }) {
  const camera = { name: name.trim(), url: url.trim(), ...(model === "" ? {} : { model }) };
  return { camera, ...(username === "" ? {} : { username }), ...(password === "" ? {} : { password }) };
}

function show(form, fault, refusal, url) {
  const name = refusal.status === 409 ? "name" : fieldOf(refusal.message, url);
  if (name === undefined) say(fault, refusal.message || t("fault.connection"));
  else at(form, name, refusal.message);
}

// Which field a refusal is about: the one that it begins with, or the address, where it names that or its host.
function fieldOf(message, url) {
  const [place] = url.trim().replace(/^\w+:\/*/, "").split(/[?#]/);
  const host = place.replace(/^.*@/, "").split(/[/:]/)[0];
  const named = OF_FIELD.exec(message)?.[1];
  return named ?? ([place, host].some((part) => part !== "" && message.includes(part)) ? "url" : undefined);
}

function at(form, name, text) {
  const input = form.elements[name];
  input.setAttribute("aria-invalid", "true");
  say(form.querySelector(`#fault-${name}`), text);
  input.focus();
}

function clear(form, fault) {
  put(fault);
  for (const input of form.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
  for (const text of form.querySelectorAll("[id^=fault-]")) put(text);
}
