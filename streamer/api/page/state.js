// How a camera stands, in a word, a colour and a sentence. A live camera that cannot be believed is blind.

import { h } from "/page/dom.js";
import { t } from "/page/text.js";

const KINDS = {
  live: "good", ready: "good", ok: "good", up: "good",
  connecting: "warn", starting: "warn", waiting: "warn",
  disabled: "idle", ended: "idle", off: "idle",
};

export function standing(camera) {
  const health = camera.health?.state ?? "ok";
  if (camera.state === "live" && health !== "ok") {
    const word = t("state.blind", { why: t(`blind.${health}`) });
    return { kind: "bad", word, why: camera.health.detail, key: `blind.${health}` };
  }
  const why = camera.state === "live" ? camera.warning : camera.detail || camera.warning;
  return { kind: kindOf(camera.state), word: t(`state.${camera.state}`), why: why || "", key: camera.state };
}

export function kindOf(state) {
  return KINDS[state] ?? "bad";
}

export function badge(kind, word) {
  return h("span", { class: `badge ${kind}` }, word);
}
