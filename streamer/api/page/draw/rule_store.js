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
    const { config_rev: rev } = await ask("POST", this.#path(kind), rule);
    return was === null ? rev : this.#renamed(kind, rule, was);
  }

  // The old name goes when the new one is there; where it may not, as an alert rests on it, the new one goes again.
  async #renamed(kind, rule, was) {
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
