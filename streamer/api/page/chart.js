// A chart of counts: a bar a direction in each period, its interval as a whisker, and hatched from above what share
// of the period was not seen. uPlot has the axes and the pointer; what stands for a number is drawn here.

import { h } from "/page/dom.js";
import { palette } from "/page/palette.js";

const HEIGHT = 320;
const GAP = 0.18; // of a period's width, on both sides of its bars
const HATCH_PX = 7;
const uPlot = window.uPlot;

// `slots`: [{ tick, blind (share), values: [{ count, low, high }] }], one value for each of `series`.
export class Chart {
  node = h("div", { class: "chart", "aria-hidden": "true" });
  #plot = null;
  #slots = [];
  #onPoint;

  constructor(onPoint, signal) {
    this.#onPoint = onPoint;
    const observer = new ResizeObserver(() => this.#resize());
    observer.observe(this.node);
    const redraw = () => this.#slots.length > 0 && this.show(this.#slots);
    window.addEventListener("theme", redraw, { signal });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw, { signal });
    signal.addEventListener("abort", () => { observer.disconnect(); this.#plot?.destroy(); });
  }

  show(slots) {
    this.#slots = slots;
    this.#plot?.destroy();
    const columns = [slots.map((_, i) => i), slots.map((slot) => highest(slot))];
    this.#plot = new uPlot(this.#options(), columns, this.node);
  }

  #options() {
    const colours = palette(this.node);
    const axis = { stroke: colours.quiet, grid: { stroke: colours.edge, width: 1 }, ticks: { stroke: colours.edge } };
    const labels = (_, places) => places.map((at) => this.#slots[at]?.tick ?? "");
    return {
      width: this.node.clientWidth || 600, height: HEIGHT,
      legend: { show: false }, cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: { x: { time: false, range: [-0.5, this.#slots.length - 0.5] }, y: { range: (_, __, high) => [0, Math.max(4, high * 1.08)] } },
      axes: [{ ...axis, values: labels, grid: { show: false }, incrs: [1, 2, 3, 4, 6, 12, 24, 48, 96, 168, 336, 720], space: 64 },
        { ...axis, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 50000, 100000], size: 54 }],
      series: [{}, { paths: () => null, points: { show: false } }],
      hooks: {
        draw: [(plot) => this.#draw(plot, colours)],
        setCursor: [(plot) => this.#onPoint(plot.cursor.idx ?? null)],
      },
    };
  }

  #resize() {
    if (this.#plot !== null && this.node.clientWidth > 0) {
      this.#plot.setSize({ width: this.node.clientWidth, height: HEIGHT });
    }
  }

  #draw(plot, colours) {
    const pen = plot.ctx;
    const width = plot.valToPos(1, "x", true) - plot.valToPos(0, "x", true);
    pen.save();
    const hatch = pen.createPattern(hatching(colours.hatch), "repeat");
    this.#slots.forEach((slot, i) => {
      const left = plot.valToPos(i - 0.5, "x", true);
      drawBlind(pen, plot, slot, left, width, hatch);
      drawBars(pen, plot, slot, left + width * GAP, width * (1 - 2 * GAP), colours);
    });
    pen.restore();
  }
}

function highest(slot) {
  const all = slot.values.flatMap((value) => [value.count, value.high]).filter((n) => Number.isFinite(n));
  return all.length === 0 ? null : Math.max(...all);
}

function drawBlind(pen, plot, slot, left, width, hatch) {
  if (slot.blind <= 0) return;
  pen.fillStyle = hatch;
  pen.fillRect(left, plot.bbox.top, width, plot.bbox.height * slot.blind);
}

function drawBars(pen, plot, slot, left, width, colours) {
  const each = width / slot.values.length;
  const ground = plot.valToPos(0, "y", true);
  slot.values.forEach((value, i) => {
    if (value.count === null) return;
    const top = plot.valToPos(value.count, "y", true);
    pen.fillStyle = colours.series[i % colours.series.length];
    pen.fillRect(left + i * each, top, Math.max(1, each * 0.9), ground - top);
    if (Number.isFinite(value.low)) drawWhisker(pen, plot, value, left + i * each + each * 0.45, each, colours.text);
  });
}

function drawWhisker(pen, plot, value, middle, width, colour) {
  const [low, high] = [plot.valToPos(value.low, "y", true), plot.valToPos(value.high, "y", true)];
  const cap = Math.min(width * 0.22, 6 * devicePixelRatio);
  pen.strokeStyle = colour;
  pen.lineWidth = 1.5 * devicePixelRatio;
  pen.beginPath();
  for (const y of [low, high]) { pen.moveTo(middle - cap, y); pen.lineTo(middle + cap, y); }
  pen.moveTo(middle, low);
  pen.lineTo(middle, high);
  pen.stroke();
}

function hatching(colour) {
  const size = HATCH_PX * devicePixelRatio;
  const tile = h("canvas", { width: size, height: size });
  const pen = tile.getContext("2d");
  pen.strokeStyle = colour;
  pen.lineWidth = devicePixelRatio;
  for (const at of [-size, 0, size]) { pen.moveTo(at, size); pen.lineTo(at + size, 0); }
  pen.stroke();
  return tile;
}
