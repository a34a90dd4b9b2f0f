// Beside the picture: what is there, what is proposed, and the form of what is being changed.

import { confirm_ } from "/page/dialog.js";
import { h, put, say } from "/page/dom.js";
import { KINDS } from "/page/draw/shapes.js";
import { store } from "/page/store.js";
import { named, number, t } from "/page/text.js";

// The rules with what they counted today, each a button that chooses it.
export function drawList(node, editor, camera) {
  const today = store.today.cameras.get(camera)?.rows ?? [];
  const items = Object.keys(KINDS).flatMap((kind) => editor.store.rules[kind].map((rule) => item(kind, rule, editor, today)));
  put(node, items.length === 0 ? h("p", { class: "quiet" }, t("draw.none")) : h("ul", { class: "rules" }, items));
}

function item(kind, rule, editor, today) {
  const chosen = editor.current?.kind === kind && editor.current.was?.name === rule.name;
  const rows = kind === "masks" ? [] : today.filter((row) => row.name === rule.name && row.count !== null);
  const counts = rows.map((row) => `${named("direction", row.direction)} ${number(row.count)}`).join(", ");
  return h("li", {}, h("button", { type: "button", "aria-pressed": String(chosen), onclick: () => editor.select(kind, rule.name) },
    h("span", { class: `sign ${kind}` }), h("span", {}, rule.name),
    h("span", { class: "quiet small", "data-today": rule.name }, counts || t(`draw.kind_${kind}`))));
}

export function drawSuggestions(node, editor, { editable, fault }) {
  if (fault) return put(node, h("p", { class: "quiet" }, fault));
  if (editor.suggestions === null) return put(node, h("p", { class: "quiet" }, t("loading")));
  const { lines, moving, covered } = editor.suggestions;
  const none = covered > 0 ? "draw.nothing_further" : "draw.no_suggestion";
  if (lines.length === 0) return put(node, h("p", { class: "quiet" }, t(none, { moving: number(moving), covered: number(covered) })));
  put(node, h("ul", { class: "rules" }, lines.map((one) => suggestion(one, editor, editable))));
}

function suggestion(one, editor, editable) {
  const total = Object.values(one.counted).reduce((a, b) => a + b, 0);
  const parts = Object.entries(one.counted).map(([way, count]) => `${number(count)} ${named("direction", way)}`).join(", ");
  const fault = h("p", { class: "fault", role: "alert" });
  const accept = async ({ target }) => {
    target.disabled = true;
    try {
      await editor.accept(one);
    } catch (refusal) {
      target.disabled = false;
      say(fault, refusal.message || t("fault.connection"));
    }
  };
  const press = h("button", { type: "button", onclick: accept, "aria-label": t("draw.accept_name", { name: one.line.name }) }, t("draw.accept"));
  return h("li", {}, h("div", { class: "suggestion" }, h("span", { class: "sign dashed" }),
    h("span", {}, t("draw.suggestion", { name: one.line.name, total: number(total), parts })), editable && press), fault);
}

// The form of the current one; `saved` is called with the revision.
export class RuleForm {
  node = h("form", { class: "rule-form", novalidate: true });
  #editor;
  #editable;
  #saved;
  #fault = h("p", { class: "fault", role: "alert" });
  #note = h("p", { class: "quiet small" });
  #conflict = h("div", { hidden: true, class: "note" });
  #save = h("button", { class: "main" }, t("draw.save"));
  #undo = h("button", { type: "button" }, t("draw.undo"));
  #inputs = {};

  constructor(editor, editable, saved) {
    this.#editor = editor;
    this.#editable = editable;
    this.#saved = saved;
    this.#undo.addEventListener("click", () => editor.undo());
    this.node.addEventListener("submit", (event) => { event.preventDefault(); this.#press(); });
  }

  // Anew, since another one was chosen or what is in it was taken back.
  build() {
    const { current } = this.#editor;
    if (current === null) return put(this.node);
    say(this.#fault, "");
    this.#conflict.hidden = true;
    const names = ["name", ...(current.kind === "lines" ? ["left_to_right", "right_to_left"] : [])];
    const remove = current.was !== null && h("button", { type: "button", class: "danger", onclick: () => this.#remove() }, t("draw.remove"));
    const cancel = h("button", { type: "button", onclick: () => this.#editor.drop() }, t(this.#editable ? "cancel" : "close"));
    const actions = this.#editable ? [this.#undo, remove, cancel, this.#save] : [cancel];
    put(this.node, h("h2", {}, t(`draw.kind_${current.kind}`)), this.#editable ? null : h("p", { class: "quiet" }, t("draw.viewer")),
      h("div", { class: "fields" }, names.map((name) => this.#field(name, current.rule))),
      this.#note, this.#conflict, this.#fault, h("div", { class: "actions" }, actions));
    this.look();
  }

  // Only what depends on the points.
  look() {
    const { isChanged, isMoved, canUndo, current } = this.#editor;
    this.#save.disabled = !isChanged;
    this.#undo.disabled = !canUndo;
    const renamed = current?.was != null && current.rule.name !== current.was.name;
    const note = renamed ? "draw.renames" : "draw.starts_anew";
    say(this.#note, isMoved && current.kind !== "masks" ? t(note, { name: current.was.name }) : "");
  }

  #field(name, rule) {
    const change = ({ target }) => {
      this.#editor.step();
      this.#editor.change({ [name]: target.value.trim() }, true);
    };
    const input = h("input", { id: `rule-${name}`, value: rule[name], maxlength: 63, spellcheck: "false", autocapitalize: "none",
      disabled: !this.#editable, onchange: change, "aria-describedby": "rule-fault" });
    input.addEventListener("input", () => { this.#save.disabled = false; });
    this.#inputs[name] = input;
    this.#fault.id = "rule-fault";
    return h("div", {}, h("label", { for: input.id }, t(`draw.${name}`)), input);
  }

  async #press() {
    say(this.#fault, "");
    this.#save.disabled = true;
    try {
      this.#saved(await this.#editor.save());
    } catch (refusal) {
      if (refusal.status === 412) this.#tellConflict();
      else this.#refused(refusal);
    }
  }

  #refused(refusal) {
    const at = Object.keys(this.#inputs).find((name) => refusal.message.includes(`${name}:`) || (refusal.status === 409 && name === "name"));
    if (at !== undefined) this.#inputs[at].focus();
    say(this.#fault, refusal.message || t("fault.connection"));
    this.#save.disabled = false;
  }

  #tellConflict() {
    const act = (work) => async () => {
      try {
        await work();
      } catch (refusal) {
        this.#refused(refusal);
      }
    };
    put(this.#conflict, h("p", {}, t("draw.conflict", { name: this.#editor.current.was.name })), h("div", { class: "actions" },
      h("button", { type: "button", onclick: act(() => this.#editor.takeTheirs()) }, t("draw.theirs")),
      h("button", { type: "button", onclick: act(() => this.#editor.keepMine()) }, t("draw.mine"))));
    this.#conflict.hidden = false;
    this.#conflict.querySelector("button").focus();
  }

  #remove() {
    const { was, kind } = this.#editor.current;
    confirm_({ title: t("draw.remove_ask", { name: was.name }), text: t(`draw.remove_${kind}`), press: t("draw.remove") }, () => this.#editor.remove());
  }
}
