// Pictures of cameras, for who may see them: asked for one after the other, since the box takes few at a time.

import { cameraPath, query } from "/page/api.js";
import { h } from "/page/dom.js";
import { store } from "/page/store.js";
import { t } from "/page/text.js";

const LIVE_PER_S = 4;
const AGAIN_MS = 5000;
let queue = Promise.resolve();

// An image that is taken anew every `everyMs` while it is shown and the camera is live; null where none may be.
export function picture(name, width, everyMs, signal) {
  if (!store.session.pictures) return null;
  const image = h("img", { class: "picture", alt: t("picture.of", { name }), hidden: true });
  const again = () => { queue = queue.then(() => take(image, name, width, signal)); };
  const timer = setInterval(again, everyMs);
  signal.addEventListener("abort", () => clearInterval(timer));
  again();
  return image;
}

// A picture that moves, with `overlay()` drawn on it by the box ("none", or some of boxes, lines, trails with commas);
// snapshots where no more streams are given; null where none may be shown. `again()` of the node takes it up anew.
export function livePicture(name, { overlay, width, signal }) {
  if (!store.session.pictures) return null;
  const image = h("img", { class: "picture", alt: t("picture.of", { name }), hidden: true });
  const stream = { open: false, triedAt: 0 };
  const open = () => openStream(image, stream, name, { overlay: overlay(), width, signal });
  image.addEventListener("load", () => { image.hidden = false; });
  image.addEventListener("error", () => fallBack(image, stream, name, width, signal));
  image.again = () => { stream.triedAt = 0; close(image, stream); open(); };
  store.addEventListener("cameras", () => watch(image, stream, name, open), { signal });
  document.addEventListener("visibilitychange", () => (document.hidden ? close(image, stream) : open()), { signal });
  signal.addEventListener("abort", () => close(image, stream));
  // An answer without end would keep a page that is still loading from ever having loaded.
  if (document.readyState === "complete") open();
  else window.addEventListener("load", open, { signal, once: true });
  return image;
}

function openStream(image, stream, name, { overlay, width, signal }) {
  if (signal.aborted || document.hidden || stream.open || !isLive(name)) return;
  stream.open = true;
  stream.triedAt = Date.now();
  image.src = query(`${cameraPath(name)}/live`, { overlay, width, rate: LIVE_PER_S, at: Date.now() });
}

function close(image, stream) {
  stream.open = false;
  image.removeAttribute("src"); // which ends the answer
  image.hidden = true;
}

function watch(image, stream, name, open) {
  if (!isLive(name)) close(image, stream);
  else if (!stream.open && Date.now() - stream.triedAt > AGAIN_MS) open();
}

function fallBack(image, stream, name, width, signal) {
  if (!stream.open) return;
  close(image, stream);
  queue = queue.then(() => take(image, name, width, signal));
}

const isLive = (name) => (store.camera(name)?.state ?? "live") === "live";

async function take(image, name, width, signal) {
  const state = store.camera(name)?.state;
  if (signal.aborted || document.hidden || (state !== undefined && state !== "live")) return;
  try {
    const path = `${cameraPath(name)}/snapshot.jpg?width=${width}&at=${Date.now()}`;
    const loaded = new Image();
    loaded.src = path;
    await loaded.decode();
    image.src = path;
    image.hidden = false;
  } catch {
    image.hidden = true; // the camera's state says why, beside it
  }
}
