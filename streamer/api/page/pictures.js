// Pictures of cameras, for who may see them: asked for one after the other, since the box takes few at a time.

import { cameraPath } from "/page/api.js";
import { h } from "/page/dom.js";
import { store } from "/page/store.js";
import { t } from "/page/text.js";

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
