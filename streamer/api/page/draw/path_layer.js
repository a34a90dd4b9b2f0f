// Where tracks went in the last hour, drawn under what is drawn: a colour a class, the older the fainter.

import { cameraPath, getInTurn, nowMs, query } from "/page/api.js";
import { h, put } from "/page/dom.js";
import { palette } from "/page/palette.js";
import { named, number, t } from "/page/text.js";

const SINCE = "1h";
const HOUR_MS = 3_600_000;
const MAX_PATHS = 400; // more would be a carpet
const EVERY_MS = 30_000;

export class PathLayer {
  node = h("canvas", { class: "paths", "aria-hidden": "true" });
  legend = h("ul", { class: "key" });
  #camera;
  #paths = [];
  #classes = [];

  constructor(camera, signal) {
    this.#camera = camera;
    const timer = setInterval(() => document.hidden || this.#load(), EVERY_MS);
    const redraw = () => this.draw();
    window.addEventListener("theme", redraw, { signal });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw, { signal });
    signal.addEventListener("abort", () => clearInterval(timer));
    this.#load();
  }

  async #load() {
    try {
      const found = await getInTurn(query(`${cameraPath(this.#camera)}/paths`, { since: SINCE, limit: MAX_PATHS }));
      this.#paths = found.paths.reverse();
      this.#classes = [...new Set(this.#paths.map((path) => path.class))].sort();
      this.draw();
      const keys = this.#classes.map((name, i) => h("li", {}, h("span", { class: `swatch s${(i % 4) + 1}` }), named("class", name)));
      put(this.legend, h("li", {}, t("draw.paths", { count: number(this.#paths.length) })), keys);
    } catch (refusal) {
      put(this.legend, h("li", {}, refusal.message || t("fault.connection"))); // such as: no events yet
    }
  }

  draw() {
    const [width, height] = [this.node.clientWidth, this.node.clientHeight];
    if (width === 0) return;
    this.node.width = width * devicePixelRatio;
    this.node.height = height * devicePixelRatio;
    const pen = this.node.getContext("2d");
    pen.lineWidth = 1.5 * devicePixelRatio;
    const { series } = palette(this.node.parentNode);
    for (const path of this.#paths) {
      pen.globalAlpha = Math.max(0.12, 0.6 * (1 - (nowMs() - Date.parse(path.start)) / HOUR_MS));
      pen.strokeStyle = series[this.#classes.indexOf(path.class) % series.length];
      pen.beginPath();
      for (const [x, y] of path.points) pen.lineTo(x * this.node.width, y * this.node.height);
      pen.stroke();
    }
  }
}
