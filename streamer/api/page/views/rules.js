// Lines, zones and masks of one camera, drawn on its picture over the paths of the last hour, with what a line or zone
// would have counted today while it is dragged.

import { h, put, say } from "/page/dom.js";
import { Editor } from "/page/draw/editor.js";
import { RuleForm, drawList, drawSuggestions } from "/page/draw/panel.js";
import { PathLayer } from "/page/draw/path_layer.js";
import { byDirection, drawReadout } from "/page/draw/readout.js";
import { Recounter } from "/page/draw/recounter.js";
import { KINDS } from "/page/draw/shapes.js";
import { Stage } from "/page/draw/stage.js";
import { livePicture } from "/page/pictures.js";
import { store } from "/page/store.js";
import { number, t } from "/page/text.js";

const WIDTH = 1280;
const COUNTING = ["lines", "zones"]; // masks count nothing
const WAYS = { left_to_right: "in", right_to_left: "out" }; // of a line that has no names yet

export function rulesView({ of: name, signal }) {
  const view = h("div", {}, h("div", { class: "title" }, h("h1", {}, t("draw.title", { name })),
    h("a", { class: "button", href: `#/camera/${encodeURIComponent(name)}` }, t("draw.back"))));
  const begin = () => {
    if (view.dataset.begun || store.cameras === null) return;
    view.dataset.begun = "yes";
    new RulesView(name, signal).begin(view);
  };
  store.addEventListener("cameras", begin, { signal }); // it knows the picture's shape
  begin();
  return view;
}

class RulesView {
  constructor(name, signal) {
    this.name = name;
    this.signal = signal;
    this.editable = store.may("operator");
    this.editor = new Editor(name);
    this.answer = null;
    this.noSuggestions = "";
    this.draft = null; // of a line that is being drawn
    this.readout = h("div", { class: "would-have", "aria-live": "polite" });
    this.list = h("div", {});
    this.proposed = h("div", {});
    this.hint = h("p", { class: "quiet small", role: "status" });
    this.form = new RuleForm(this.editor, this.editable, (rev) => say(this.hint, t("draw.saved", { rev: number(rev) })));
    this.paths = new PathLayer(name, signal);
    this.recounter = new Recounter(name, (answer) => this.counted(answer), signal);
    this.stage = new Stage({ ground: livePicture(name, { overlay: () => "none", width: WIDTH, signal }), paths: this.paths, ratio: ratioOf(name),
      editable: true, calls: this.calls(), signal });
  }

  async begin(view) {
    const noPicture = store.session.people === "show" ? "picture.not_allowed" : "picture.private";
    const note = store.session.pictures ? null : h("p", { class: "quiet small" }, t(noPicture));
    const left = h("section", { class: "card wide" }, this.tools(), this.stage.node, this.readout, this.paths.legend, this.hint, note);
    const side = h("div", { class: "side" }, h("section", { class: "card" }, this.form.node, this.list),
      h("section", { class: "card" }, h("h2", {}, t("draw.suggestions")), this.proposed));
    view.append(h("div", { class: "drawing-board" }, left, side));
    this.listen();
    try {
      await this.editor.load();
    } catch (refusal) {
      return put(this.list, h("p", { class: "note bad" }, refusal.message || t("fault.connection")));
    }
    await this.suggest();
  }

  listen() {
    const { signal } = this;
    this.editor.addEventListener("change", () => this.changed());
    this.editor.addEventListener("suggested", () => this.draw());
    this.editor.addEventListener("moved", ({ detail }) => this.moved(detail));
    store.addEventListener("counts", () => drawList(this.list, this.editor, this.name), { signal });
    window.addEventListener("keydown", (event) => this.key(event), { signal });
  }

  async suggest() {
    try {
      await this.editor.suggest();
    } catch (refusal) {
      this.noSuggestions = refusal.message || t("fault.connection"); // such as: no events yet
    }
    this.suggestions();
  }

  suggestions() {
    drawSuggestions(this.proposed, this.editor, { editable: this.editable, fault: this.noSuggestions });
  }

  tools() {
    const kinds = this.editable ? Object.keys(KINDS) : ["lines"];
    const news = kinds.map((kind) => h("button", { type: "button", onclick: (event) => this.begin_(kind, event) }, t(`draw.new_${kind}`)));
    this.done = h("button", { type: "button", class: "main", hidden: true, onclick: () => this.finish() }, t("draw.done"));
    return h("div", { class: "toolbar" }, news, this.done);
  }

  // By the keyboard: something in the middle; else it is drawn.
  begin_(kind, event) {
    this.editor.drop();
    if (event.detail === 0) return this.editor.add(kind);
    this.drawn = kind;
    this.stage.begin(kind);
    this.done.hidden = kind === "lines";
    say(this.hint, t(kind === "lines" ? "draw.how_line" : "draw.how_zone"));
  }

  finish() {
    const points = this.stage.end();
    if (points === null) return this.ended();
    this.add(points);
  }

  add(points) {
    this.ended();
    this.editor.add(this.drawn, points);
  }

  ended() {
    this.draft = null;
    this.done.hidden = true;
    say(this.hint, "");
  }

  calls() {
    return {
      step: () => this.editor.step(),
      change: (points, atRest) => this.editor.change({ points }, atRest),
      select: (key) => this.choose(key),
      drawn: (points, atRest) => {
        if (atRest) return this.add(points);
        this.draft = { points, ...WAYS };
        this.recounter.ask("lines", this.draft, false);
      },
    };
  }

  choose(key) {
    const [kind, ...name] = key.split("/");
    if (kind !== "proposed") this.editor.select(kind, name.join("/"));
  }

  key(event) {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.key === "Escape" && this.stage.isDrawing) {
      this.stage.end();
      this.ended();
      this.recounter.stop();
      put(this.readout);
    } else if ((event.ctrlKey || event.metaKey) && event.key === "z" && !typing) {
      event.preventDefault();
      this.editor.undo();
    }
  }

  changed() {
    this.answer = null;
    put(this.readout); // of another line, or place
    this.form.build();
    drawList(this.list, this.editor, this.name);
    this.suggestions();
    this.moved(true);
  }

  moved(atRest) {
    const { current } = this.editor;
    this.form.look();
    this.draw();
    if (COUNTING.includes(current?.kind)) return this.recounter.ask(current.kind, current.rule, atRest);
    this.recounter.stop();
    put(this.readout);
  }

  counted(answer) {
    const { current } = this.editor;
    const rule = COUNTING.includes(current?.kind) ? current.rule : this.draft;
    if (rule === null) return;
    this.answer = current === null ? null : answer;
    drawReadout(this.readout, answer, rule);
    this.draw();
  }

  draw() {
    const { current, store: kept, suggestions } = this.editor;
    const isCurrent = (kind, rule) => current?.kind === kind && current.was?.name === rule.name;
    const shapes = Object.keys(KINDS).flatMap((kind) => kept.rules[kind].filter((rule) => !isCurrent(kind, rule))
      .map((rule) => ({ key: `${kind}/${rule.name}`, kind, rule })));
    for (const { line, counted } of suggestions?.lines ?? []) {
      shapes.push({ key: `proposed/${line.name}`, kind: "lines", rule: line, dashed: true, quiet: current !== null, counts: counted });
    }
    if (current !== null) {
      const counts = this.answer?.document && byDirection(this.answer.document);
      shapes.push({ key: "current", kind: current.kind, rule: current.rule, selected: true, counts });
    }
    this.stage.show(shapes);
  }
}

function ratioOf(name) {
  const { width, height } = store.camera(name) ?? {};
  return width && height ? `${width} / ${height}` : "16 / 9";
}
