// A camera's lines, zones and masks, as the box has them, and their changes: each with the ETag of what was seen, so
// that nobody's change is lost under another's.

import { ask, cameraPath, get, getInTurn } from "/page/api.js";
import { KINDS } from "/page/draw/shapes.js";

export class RuleStore {
  rules = { lines: [], zones: [], masks: [] };
  #etags = { lines: {}, zones: {}, masks: {} };
  #camera;

  constructor(camera) {
    this.#camera = camera;
  }

  // Raises Refusal, as all do.
  async load() {
    await Promise.all(Object.keys(KINDS).map(async (kind) => {
      const found = await get(this.#path(kind));
      this.rules[kind] = found[kind];
      this.#etags[kind] = found.etags;
    }));
  }

  find(kind, name) {
    return this.rules[kind].find((rule) => rule.name === name) ?? null;
  }

  etag(kind, name) {
    return this.#etags[kind][name] ?? null;
  }

  // `was`: { name, etag } of the one that it replaces, or null. Returns the revision that is in force then.
  async save(kind, rule, was) {
    if (was !== null && was.name === rule.name) {
      return (await ask("PUT", this.#path(kind, rule.name), rule, { "if-match": was.etag })).config_rev;
    }
    if (was !== null && kind !== "masks") return this.#renamed(kind, rule, was);
    const { config_rev: rev } = await ask("POST", this.#path(kind), rule);
    return was === null ? rev : this.#replaced(kind, rule, was);
  }

  // Its counts go with it, and alerts rest on the new name; what else was changed comes after that.
  async #renamed(kind, rule, was) {
    const before = this.find(kind, was.name);
    const path = `${this.#path(kind, was.name)}/rename`;
    const { config_rev: rev } = await ask("POST", path, { to: rule.name }, { "if-match": was.etag });
    if (JSON.stringify({ ...before, name: rule.name }) === JSON.stringify(rule)) return rev;
    const { etags } = await get(this.#path(kind));
    return (await ask("PUT", this.#path(kind, rule.name), rule, { "if-match": etags[rule.name] })).config_rev;
  }

  // The old name goes when the new one is there; where it may not, the new one goes again.
  async #replaced(kind, rule, was) {
    try {
      return await this.remove(kind, was);
    } catch (refusal) {
      await ask("DELETE", this.#path(kind, rule.name));
      throw refusal;
    }
  }

  async remove(kind, { name, etag }) {
    return (await ask("DELETE", this.#path(kind, name), undefined, { "if-match": etag })).config_rev;
  }

  suggested() {
    return getInTurn(`${this.#path("lines")}/suggested?since=10m`);
  }

  #path(kind, name) {
    const all = `${cameraPath(this.#camera)}/${kind}`;
    return name === undefined ? all : `${all}/${encodeURIComponent(name)}`;
  }
}
