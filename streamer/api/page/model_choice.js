// A choice of what a camera counts by: the box's model, none (whatever moves), or another that is registered; under it
// the classes that the chosen one knows.

import { get } from "/page/api.js";
import { h, say } from "/page/dom.js";
import { named, number, t } from "/page/text.js";

const MAX_CLASSES = 12; // named; of more how many there are
const FIXED = [["", "add.model_default"], ["motion", "add.model_motion"]];

// `id` is also its name in a form; `value` is the model as a camera's settings have it, "" for the box's.
export class ModelChoice {
  #models = [];
  #knows;

  constructor(id, value = "") {
    this.#knows = h("p", { class: "hint", id: `hint-${id}` });
    this.select = h("select", { id, name: id, "aria-describedby": `hint-${id} fault-${id}`, onchange: () => this.#tell() },
      FIXED.map(([model, text]) => h("option", { value: model }, t(text))));
    this.node = [this.select, this.#knows];
    this.#offer(value);
    this.select.value = value;
  }

  // What is registered. Raises Refusal.
  async load() {
    this.#models = (await get("/api/v1/models")).models;
    for (const { name, default: isDefault, problem } of this.#models) if (!isDefault && !problem) this.#offer(name);
    this.#tell();
  }

  #offer(name) {
    if ([...this.select.options].some((option) => option.value === name)) return;
    this.select.append(h("option", { value: name }, name));
  }

  #tell() {
    const { value } = this.select;
    const model = this.#models.find((one) => (value === "" ? one.default : one.name === value));
    const words = Object.keys(model?.classes ?? {}).map((word) => named("class", word));
    const shown = words.slice(0, MAX_CLASSES).join(", ");
    const count = words.length - MAX_CLASSES;
    say(this.#knows, words.length === 0 ? "" : t("add.model_knows", { classes: count > 0 ? t("models.more", { shown, count: number(count) }) : shown }));
  }
}
