// A picture to draw on: the camera's, where it may be shown, the paths of the last hour, and above them lines, zones
// and masks, whose points follow a mouse, a finger (44 pixels) or the arrow keys.

import { h, put, s } from "/page/dom.js";
import { KINDS, across, clip, inserted, moved, nudged, shifted, sides, without } from "/page/draw/shapes.js";
import { named, number, t } from "/page/text.js";

const MIN_DRAG_PX = 8; // less is a tap
const TOUCH_PX = 24; // half of what a finger needs, and a little
const MIN_SIDE_PX = 100; // a shorter side has no handle for another point: those of its ends need the room
const ARROW_PX = 46;
const MIN_STEP = 0.006; // of two points of a line, as the configuration has it

// `shapes`: [{ key, kind, rule, selected, dashed, quiet (without arrows), counts }]. Calls back `change(points, atRest)` for the selected
// one, `select(key)`, `drawn(points, atRest)` for one that is being drawn, `step()` before a change begins.
export class Stage {
  node;
  #svg = s("svg", { class: "shapes", role: "group" });
  #calls;
  #shapes = [];
  #drawing = null; // { kind, points }
  #drag = null; // { index (null: all of it), from, points }
  #size = [1, 1];
  #editable;

  constructor({ ground, paths, ratio, editable, calls, signal }) {
    this.#calls = calls;
    this.#editable = editable;
    this.#svg.setAttribute("aria-label", t("draw.stage"));
    this.node = h("div", { class: "stage" }, ground, paths.node, this.#svg);
    this.node.style.aspectRatio = ratio;
    const observer = new ResizeObserver(() => { this.#measure(); paths.draw(); });
    observer.observe(this.node);
    signal.addEventListener("abort", () => observer.disconnect());
    for (const [name, act] of Object.entries({ pointerdown: "down", pointermove: "move", pointerup: "up", pointercancel: "up" })) {
      this.#svg.addEventListener(name, (event) => this[`_${act}`](event));
    }
    this.#svg.addEventListener("keydown", (event) => this._key(event));
  }

  show(shapes) {
    this.#shapes = shapes;
    this.#draw();
  }

  begin(kind) {
    this.#drawing = { kind, points: [], loose: null };
    this.node.classList.add("drawing");
    this.#draw();
  }

  get isDrawing() {
    return this.#drawing !== null;
  }

  // Ends drawing; returns the points that there are, or null where they are too few.
  end() {
    const { kind, points } = this.#drawing ?? { points: [] };
    this.#drawing = null;
    this.node.classList.remove("drawing");
    this.#draw();
    return kind !== undefined && points.length >= KINDS[kind].least ? points : null;
  }

  // ---- pointers

  _down(event) {
    if (event.button !== 0 || !event.isPrimary) return;
    if (this.#drawing !== null) return this.#place(event);
    const selected = this.#selected();
    const { point, insert, shape } = dataOf(event.target);
    if (selected !== undefined && this.#editable && (point !== undefined || insert !== undefined)) return this.#grab(event, selected, point, insert);
    if (shape === undefined) return;
    if (shape !== selected?.key) this.#calls.select(shape);
    else if (this.#editable) this.#hold(event, selected, null);
  }

  #grab(event, { rule }, point, insert) {
    this.#calls.step();
    let index = Number(point);
    if (insert !== undefined) {
      this.#calls.change(inserted(rule.points, Number(insert), this.#at(event)), false);
      index = Number(insert) + 1;
    }
    this.#hold(event, this.#selected(), index);
  }

  #hold(event, { rule }, index) {
    this.#drag = { index, from: this.#at(event), points: rule.points, begun: index !== null };
    this.#svg.setPointerCapture(event.pointerId);
    event.preventDefault();
    if (index !== null) this.#focus(index);
  }

  _move(event) {
    if (this.#drawing !== null) return this.#stretch(event);
    if (this.#drag === null) return;
    const at = this.#at(event);
    const { index, from, points } = this.#drag;
    if (!this.#drag.begun) {
      if (this.#pixels(from, at) < MIN_DRAG_PX) return;
      this.#calls.step();
      this.#drag.begun = true;
    }
    this.#calls.change(index === null ? shifted(points, at[0] - from[0], at[1] - from[1]) : moved(points, index, at), false);
    if (index !== null) this.#focus(index);
  }

  _up(event) {
    if (this.#drawing !== null) return this.#placed(event);
    if (this.#drag === null) return;
    const { begun, index } = this.#drag;
    this.#drag = null;
    if (begun) this.#calls.change(this.#selected().rule.points, true);
    if (index !== null) this.#focus(index);
  }

  // ---- drawing a new one: by dragging (a line), or point by point

  #place(event) {
    const at = this.#at(event);
    const { kind, points } = this.#drawing;
    if (kind !== "lines" && points.length >= 3 && this.#pixels(points[0], at) < TOUCH_PX) return this.#finish();
    this.#svg.setPointerCapture(event.pointerId);
    event.preventDefault();
    if (points.length === 0 || kind !== "lines" || this.#pixels(points[0], at) >= MIN_DRAG_PX) points.push(at);
    this.#drawing.from = at;
    this.#draw();
  }

  #stretch(event) {
    const { kind, points } = this.#drawing;
    if (points.length === 0) return;
    this.#drawing.loose = this.#at(event);
    this.#draw();
    if (kind === "lines" && points.length === 1 && apart(points[0], this.#drawing.loose)) {
      this.#calls.drawn([points[0], this.#drawing.loose], false);
    }
  }

  #placed(event) {
    const { kind, points, from } = this.#drawing;
    const at = this.#at(event);
    if (kind !== "lines" || points.length === 0) return;
    if (points.length === 1 && from !== undefined && this.#pixels(from, at) >= MIN_DRAG_PX) points.push(at);
    if (points.length >= 2) this.#finish();
  }

  #finish() {
    const points = this.end();
    if (points !== null) this.#calls.drawn(points.map((point) => moved([point], 0, point)[0]), true);
  }

  // ---- keys

  _key(event) {
    const selected = this.#selected();
    if (event.key === "Enter" || event.key === " ") return this.#press(event);
    const { point } = dataOf(event.target);
    if (selected === undefined || point === undefined || !this.#editable) return;
    const { kind, rule } = selected;
    const index = Number(point);
    const removing = event.key === "Delete" || event.key === "Backspace";
    const points = removing ? without(rule.points, index, kind) : nudged(rule.points, index, event.key, event.shiftKey);
    if (points === null) return;
    event.preventDefault();
    if (points === rule.points) return;
    this.#calls.step();
    this.#calls.change(points, true);
    this.#focus(Math.min(index, points.length - 1));
  }

  #press(event) {
    const { insert, shape } = dataOf(event.target);
    const selected = this.#selected();
    if (insert !== undefined) {
      const [a, b] = sides(selected.rule.points, KINDS[selected.kind].closed)[Number(insert)];
      this.#calls.step();
      this.#calls.change(inserted(selected.rule.points, Number(insert), [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2]), true);
      this.#focus(Number(insert) + 1);
    } else if (shape !== undefined && shape !== selected?.key) this.#calls.select(shape);
    else return;
    event.preventDefault();
  }

  // ---- what is seen

  #selected() {
    return this.#shapes.find((shape) => shape.selected);
  }

  #at(event) {
    const box = this.#svg.getBoundingClientRect();
    return [clip((event.clientX - box.left) / box.width), clip((event.clientY - box.top) / box.height)];
  }

  #pixels(a, b) {
    return Math.hypot((a[0] - b[0]) * this.#size[0], (a[1] - b[1]) * this.#size[1]);
  }

  #measure() {
    this.#size = [this.node.clientWidth || 1, this.node.clientHeight || 1];
    this.#svg.setAttribute("viewBox", `0 0 ${this.#size[0]} ${this.#size[1]}`);
    this.#draw();
  }

  #focus(index) {
    this.#svg.querySelector(`[data-point="${index}"]`)?.focus({ preventScroll: true });
  }

  #draw() {
    const [width, height] = this.#size;
    if (width <= 1) return;
    const shapes = [...this.#shapes].sort((a, b) => (a.selected ?? false) - (b.selected ?? false));
    const focused = this.#svg.contains(document.activeElement) ? selectorOf(document.activeElement) : null;
    put(this.#svg, shapes.map((shape) => shapeNode(shape, width, height, this.#editable)), this.#draft(width, height));
    if (focused !== null) this.#svg.querySelector(focused)?.focus({ preventScroll: true });
  }

  #draft(width, height) {
    if (this.#drawing === null) return null;
    const { kind, points, loose } = this.#drawing;
    const all = loose === null ? points : [...points, loose];
    const dots = points.map(([x, y]) => s("circle", { class: "dot", cx: x * width, cy: y * height, r: 7 }));
    return s("g", { class: `shape ${kind} selected` }, outline(all, false, width, height), dots);
  }
}

function shapeNode(shape, width, height, editable) {
  const { key, kind, rule, selected, dashed } = shape;
  const { closed } = KINDS[kind];
  const [x, y] = rule.points[0];
  const name = s("text", { x: x * width, y: Math.max(18, y * height - 14), class: x > 0.7 ? "end" : "" }, rule.name);
  const focus = selected ? {} : { tabindex: "0", role: "button", "aria-label": t(`draw.choose_${kind}`, { name: rule.name }) };
  const group = s("g", { class: `shape ${kind}${selected ? " selected" : ""}${dashed ? " dashed" : ""}`, "data-shape": key, ...focus },
    outline(rule.points, closed, width, height), name);
  if (kind === "lines" && (selected || (dashed && !shape.quiet))) group.append(...arrows(rule, shape.counts, width, height));
  if (selected && editable) group.append(...handles(rule, kind, width, height));
  return group;
}

function outline(points, closed, width, height) {
  const places = points.map(([x, y]) => `${x * width},${y * height}`).join(" ");
  const tag = closed ? "polygon" : "polyline";
  return ["reach", "halo", "stroke"].map((kind) => s(tag, { class: kind, points: places }));
}

function handles({ points, name }, kind, width, height) {
  const { closed } = KINDS[kind];
  const inserts = sides(points, closed).filter(([a, b]) => Math.hypot((a[0] - b[0]) * width, (a[1] - b[1]) * height) >= MIN_SIDE_PX)
    .map(([a, b, i]) => handle("insert", i, [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2], t("draw.insert", { name }), width, height, 5));
  const place = ([x, y]) => ({ x: number(x * 100), y: number(y * 100) });
  return [...inserts, ...points.map((point, i) => handle("point", i, point,
    t("draw.point", { n: i + 1, of: points.length, name, ...place(point) }), width, height, 8))];
}

function handle(kind, index, [x, y], label, width, height, radius) {
  const at = { cx: x * width, cy: y * height };
  return s("g", { class: `handle ${kind}`, [`data-${kind}`]: index, tabindex: "0", role: "button", "aria-label": label },
    s("circle", { class: "touch", r: TOUCH_PX, ...at }), s("circle", { class: "dot", r: radius, ...at }));
}

// Each direction as an arrow with its name and, where it is known, how many it would have counted.
function arrows(rule, counts, width, height) {
  const { middle, along, right } = across(rule.points, width, height);
  return [["left_to_right", 1], ["right_to_left", -1]].flatMap(([key, way]) => {
    const from = [0, 1].map((i) => middle[i] + along[i] * way * 34);
    const to = [0, 1].map((i) => from[i] + right[i] * way * ARROW_PX);
    const wing = (side) => [0, 1].map((i) => to[i] - right[i] * way * 11 + along[i] * side * 7).join(",");
    const text = [named("direction", rule[key]), counts && number(counts[rule[key]] ?? 0)].filter((part) => part !== undefined).join(" ");
    const anchor = Math.abs(right[0]) < 0.5 ? "middle" : right[0] * way > 0 ? "start" : "end";
    const [x, y] = [0, 1].map((i) => to[i] + right[i] * way * 8);
    const inside = { x: Math.min(width - 8, Math.max(8, x)), y: Math.min(height - 8, Math.max(16, y + 5)) };
    const path = `M${from.join(",")} L${to.join(",")} M${wing(1)} L${to.join(",")} L${wing(-1)}`;
    return [s("path", { class: "halo", d: path }), s("path", { class: "arrow", d: path }), s("text", { class: anchor, ...inside }, text)];
  });
}

// Who has the focus keeps it when all is drawn anew, as when a count comes.
function selectorOf({ dataset }) {
  const [name] = Object.keys(dataset);
  return name === undefined ? null : `[data-${name}="${CSS.escape(dataset[name])}"]`;
}

function dataOf(target) {
  const found = (name) => target.closest(`[data-${name}]`)?.dataset[name];
  return { point: found("point"), insert: found("insert"), shape: found("shape") };
}

function apart(a, b) {
  return Math.hypot(a[0] - b[0], a[1] - b[1]) >= MIN_STEP;
}
