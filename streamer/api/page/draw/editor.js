// What is drawn for one camera: its rules, the one that is being changed with the way back, and what is proposed.

import { RuleStore } from "/page/draw/rule_store.js";
import { first, freeName } from "/page/draw/shapes.js";

const MAX_UNDO = 100;
const copy = (value) => JSON.parse(JSON.stringify(value));
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

// Fires `change` when what is to be seen is another, `moved` (detail: at rest or not) when points are.
export class Editor extends EventTarget {
  store;
  current = null; // { kind, rule, was: { name, etag } or null, before }
  suggestions = null;
  #undo = [];

  constructor(camera) {
    super();
    this.store = new RuleStore(camera);
  }

  async load() {
    await this.store.load();
    this.#tell("change");
  }

  async suggest() {
    this.suggestions = await this.store.suggested();
    this.#tell("suggested"); // they may come late: what is being typed stays
  }

  select(kind, name) {
    const rule = this.store.find(kind, name);
    if (rule === null) return this.drop();
    this.#take(kind, rule, { name, etag: this.store.etag(kind, name) });
  }

  // A new one, with a name that is free; without points: something in the middle.
  add(kind, points) {
    const ways = kind === "lines" ? { left_to_right: "in", right_to_left: "out" } : {};
    this.#take(kind, { name: freeName(kind, this.#names()), points: points ?? first(kind), ...ways }, null);
  }

  #names() {
    const proposed = (this.suggestions?.lines ?? []).map((one) => one.line);
    return [...Object.values(this.store.rules).flat(), ...proposed].map((rule) => rule.name);
  }

  // What a proposal is becomes a line of the camera's.
  // Its name may have been given to another line meanwhile.
  async accept({ line }) {
    const name = this.store.find("lines", line.name) === null ? line.name : freeName("lines", this.#names());
    await this.store.save("lines", { ...line, name }, null);
    this.suggestions = { ...this.suggestions, lines: this.suggestions.lines.filter((one) => one.line.name !== line.name) };
    await this.store.load();
    this.select("lines", name);
  }

  drop() {
    this.current = null;
    this.#undo = [];
    this.#tell("change");
  }

  // Before a change begins, so that it can be taken back.
  step() {
    this.#undo = [...this.#undo.slice(-MAX_UNDO), copy(this.current.rule)];
  }

  change(values, atRest) {
    this.current.rule = { ...this.current.rule, ...values };
    this.#tell("moved", atRest);
  }

  get canUndo() {
    return this.#undo.length > 0;
  }

  undo() {
    if (this.current === null || !this.canUndo) return;
    this.current.rule = this.#undo.pop();
    this.#tell("change");
  }

  get isChanged() {
    return this.current !== null && (this.current.was === null || !same(this.current.rule, this.current.before));
  }

  get isMoved() {
    return this.current?.was != null && !same(this.current.rule, this.current.before);
  }

  // Returns the revision. Raises Refusal: 412 where somebody else has changed it meanwhile.
  async save() {
    const { kind, rule, was } = this.current;
    const rev = await this.store.save(kind, rule, was);
    await this.store.load();
    this.select(kind, rule.name);
    return rev;
  }

  async remove() {
    const { kind, was } = this.current;
    await this.store.remove(kind, was);
    await this.store.load();
    this.drop();
  }

  // After a conflict: what the box has now, or what is drawn here over it.
  async takeTheirs() {
    await this.store.load();
    this.select(this.current.kind, this.current.was.name);
  }

  async keepMine() {
    await this.store.load();
    const { kind, was } = this.current;
    const etag = this.store.etag(kind, was.name);
    this.current.was = etag === null ? null : { ...was, etag };
    this.current.before = this.store.find(kind, was.name);
    this.#tell("change");
  }

  #take(kind, rule, was) {
    this.current = { kind, rule: copy(rule), was, before: copy(rule) };
    this.#undo = [];
    this.#tell("change");
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
