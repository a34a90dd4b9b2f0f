// The models that there are: what they know, where they are from, and which cameras use them.

import { get } from "/page/api.js";
import { h, put, table } from "/page/dom.js";
import { badge } from "/page/state.js";
import { named, number, t } from "/page/text.js";

const MAX_CLASSES = 8; // named; of more how many there are

export function modelsView() {
  const body = h("div", {}, h("p", { class: "quiet" }, t("loading")));
  draw(body);
  return h("div", {}, h("div", { class: "title" }, h("h1", {}, t("models.title"))), body);
}

async function draw(body) {
  try {
    const [{ models }, { actions }] = await Promise.all([get("/api/v1/models"), get("/api/v1/actions")]);
    put(body, section("models.detectors", models.map(detector)), section("models.actions", actions.map(action)));
  } catch (refusal) {
    put(body, h("p", { class: "note bad" }, refusal.message || t("fault.connection")));
  }
}

function section(key, rows) {
  const heads = [[t("health.name"), ""], [t("models.knows"), ""], [t("models.used_by"), ""], [t("camera.state"), ""]];
  return h("section", { class: "card" }, h("h2", {}, t(key)),
    rows.length === 0 ? h("p", { class: "quiet" }, t("models.none")) : table(heads, rows, t(key)));
}

function detector(model) {
  const name = [model.name, " ", model.default && badge("idle", t("models.default"))];
  return [name, known(Object.keys(model.classes ?? {}).map((word) => named("class", word))), users(model), state(model)];
}

function action(model) {
  const labels = (model.heads ?? []).flatMap((head) => head.labels);
  return [model.name, known(labels), users(model), state(model)];
}

function known(words) {
  const shown = words.slice(0, MAX_CLASSES).join(", ");
  return words.length > MAX_CLASSES ? t("models.more", { shown, count: number(words.length - MAX_CLASSES) }) : shown || t("none");
}

function users({ cameras }) {
  return cameras.length === 0 ? t("none") : cameras.map((name, i) => [i > 0 && ", ", h("a", { href: `#/camera/${encodeURIComponent(name)}` }, name)]);
}

function state({ problem, in_package: bundled }) {
  return problem ? [badge("bad", t("state.failed")), ` ${problem}`] : badge("good", t(bundled ? "models.in_package" : "models.installed"));
}
