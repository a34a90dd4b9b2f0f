// Adding a camera. What the box refuses is said at the field that it is about, in the API's own words.

import { ask } from "/page/api.js";
import { h, put, say } from "/page/dom.js";
import { store } from "/page/store.js";
import { t } from "/page/text.js";

const FIELDS = {
  url: { required: true, inputmode: "url", placeholder: "rtsp://192.168.1.20/stream1", hint: true },
  name: { required: true, maxlength: 63, placeholder: "gate", hint: true },
  username: { autocomplete: "off" },
  password: { type: "password", autocomplete: "new-password", hint: true },
};
const MODELS = ["", "motion"];
const OF_FIELD = /^(?:camera\.)?(url|name|username|password|model)\b/;

export function addView({ go }) {
  if (!store.may("operator")) return h("div", {}, h("h1", {}, t("add.title")), h("p", {}, t("add.not_allowed")));
  const fault = h("p", { class: "fault", role: "alert", id: "fault" });
  const press = h("button", { class: "main" }, t("add.press"));
  const cancel = h("a", { class: "button", href: "#/" }, t("cancel"));
  const form = h("form", { class: "card narrow", novalidate: true }, Object.entries(FIELDS).map(field), modelField(),
    fault, h("div", { class: "actions" }, cancel, press));
  form.addEventListener("submit", (event) => { event.preventDefault(); submit(form, press, fault, go); });
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
  const options = MODELS.map((value) => h("option", { value }, t(`add.model_${value || "default"}`)));
  return h("div", { class: "field" }, h("label", { for: "model" }, t("add.model")),
    h("select", { id: "model", name: "model", "aria-describedby": "fault-model" }, options),
    h("p", { class: "fault", id: "fault-model" }));
}

async function submit(form, press, fault, go) {
  clear(form, fault);
  const values = Object.fromEntries(new FormData(form));
  const missing = ["url", "name"].filter((name) => values[name].trim() === "");
  if (missing.length > 0) return missing.reverse().forEach((name) => at(form, name, t("add.missing")));
  press.disabled = true;
  try {
    await ask("POST", "/api/v1/cameras", document_(values));
    await store.refresh();
    go(`#/camera/${encodeURIComponent(values.name.trim())}`);
  } catch (refusal) {
    show(form, fault, refusal, values.url);
  } finally {
    press.disabled = false;
  }
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
