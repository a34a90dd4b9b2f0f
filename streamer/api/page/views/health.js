// How the box stands: ready or not, processes, the ledger, where events go, and room on the disk.

import { get } from "/page/api.js";
import { h, pairs, put, table } from "/page/dom.js";
import { badge, kindOf } from "/page/state.js";
import { bytes, duration, milliseconds, moment, number, percent, t } from "/page/text.js";

const EVERY_MS = 3000;

export function healthView({ signal }) {
  const ready = h("span", {});
  const body = h("div", {}, h("p", { class: "quiet" }, t("loading")));
  const look = () => draw(ready, body);
  const timer = setInterval(() => document.hidden || look(), EVERY_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
  look();
  return h("div", {}, h("div", { class: "title" }, h("h1", {}, t("health.title")), ready), body);
}

async function draw(ready, body) {
  drawReady(ready);
  try {
    const status = await get("/api/v1/status");
    put(body, status.warnings.map((text) => h("p", { class: "note" }, text)),
      h("div", { class: "columns" }, box(status), disk(status), ledger(status), sinks(status)),
      section("health.workers", workers(status.workers)));
  } catch (refusal) {
    put(body, h("p", { class: "note bad" }, refusal.message || t("fault.connection")));
  }
}

async function drawReady(ready) {
  try {
    await get("/readyz");
    put(ready, badge("good", t("health.ready")));
  } catch (refusal) {
    put(ready, badge("bad", `${t("health.not_ready")} ${refusal.message}`));
  }
}

function section(key, ...body) {
  return h("section", { class: "card" }, h("h2", {}, t(key)), body);
}

function box(status) {
  return section("health.box", pairs([
    [t("health.name"), status.display_name || status.node.slice(0, 8)], [t("health.version"), status.version],
    [t("health.uptime"), duration(status.uptime_s)], [t("health.revision"), number(status.config_rev)]]));
}

function disk({ disk: room }) {
  if (room === null) return section("health.disk", h("p", { class: "quiet" }, t("health.disk_unknown")));
  const used = (room.total - room.free) / room.total;
  const bar = h("progress", { max: 1, value: used, "aria-label": t("health.disk") });
  const text = t("health.disk_free", { free: bytes(room.free), total: bytes(room.total), share: percent(used) });
  return section("health.disk", h("p", {}, text), bar);
}

function ledger({ ledger: of }) {
  return section("health.ledger", pairs([
    [t("camera.state"), badge(kindOf(of.state), t(`state.${of.state}`))],
    [t("health.size"), t("health.size_of", { used: bytes(of.bytes), most: bytes(of.max_bytes) })],
    [t("health.oldest"), of.oldest ? moment(of.oldest) : null],
    [t("health.kept"), t("health.days", { days: number(of.retention_days) })],
    [t("health.undelivered"), number(of.undelivered)],
    [t("health.commit"), milliseconds(of.commit_ms_p99)], [t("health.error"), of.last_error]]));
}

function sinks({ sinks: all }) {
  const rows = Object.entries(all).map(([name, sink]) =>
    [name, badge(kindOf(sink.state), t(`state.${sink.state}`)), number(sink.written), sink.last_error]);
  if (rows.length === 0) return section("health.sinks", h("p", { class: "quiet" }, t("health.no_sinks")));
  return section("health.sinks", table([[t("health.sink"), ""], [t("camera.state"), ""], [t("health.written"), "number"],
    [t("health.error"), ""]], rows, t("health.sinks")));
}

function workers(all) {
  const rows = all.map((worker) => [worker.name, badge(kindOf(worker.state), t(`state.${worker.state}`)),
    number(worker.restarts), worker.rss_mb === null ? t("none") : bytes(worker.rss_mb * 1e6), worker.last_error]);
  return table([[t("health.worker"), ""], [t("camera.state"), ""], [t("health.restarts"), "number"],
    [t("health.memory"), "number"], [t("health.error"), ""]], rows, t("health.workers"));
}
