// What a line or zone would have counted, in words: the number, how sure it is, and what of the day is not in it.

import { h, put } from "/page/dom.js";
import { duration, named, number, t, time } from "/page/text.js";

const MIN_MISSING_S = 1;

// By direction, from an answer of /recount.
export function byDirection({ counts }) {
  const found = {};
  for (const row of counts) found[row.direction] = (found[row.direction] ?? 0) + row.count;
  return found;
}

export function drawReadout(node, answer, rule) {
  if (answer === null) return put(node);
  if (answer.fault) return put(node, h("p", { class: "fault" }, answer.fault.message || t("fault.connection")));
  const { document } = answer;
  const ways = byDirection(document);
  const isZone = document.zone !== undefined;
  const parts = (isZone ? ["entered", "exited"] : [rule.left_to_right, rule.right_to_left]).map((name) => `${number(ways[name] ?? 0)} ${named("direction", name)}`);
  const values = { total: number(document.total.count), parts: parts.join(", "), since: time(document.since) };
  const text = isZone ? "draw.zone_would_have" : "draw.would_have";
  const said = t(document.complete ? text : `${text}_since`, values);
  const sure = document.total.low === undefined ? null
    : h("p", { class: "quiet small" }, t("draw.interval", { low: number(document.total.low), high: number(document.total.high) }));
  put(node, h("p", { class: answer.pending ? "would quiet" : "would", "data-would": document.total.count }, said), sure, missing(document));
}

function missing({ missing: all, tracks_without_path: lost }) {
  const what = all.filter((one) => one.seconds >= MIN_MISSING_S).map((one) => `${named("blind", one.reason)} ${duration(one.seconds)}`);
  if (lost > 0) what.push(t("draw.pathless", { count: number(lost) }));
  return what.length === 0 ? null : h("p", { class: "quiet small" }, t("draw.missing", { what: what.join(", ") }));
}
