// For what is drawn on a canvas.

import { h } from "/page/dom.js";

// The colours that hold now, of the one place where they stand (colours.css).
export function palette(node) {
  const probe = h("span", { hidden: true });
  node.append(probe);
  const resolved = (name) => { probe.style.color = `var(--${name})`; return getComputedStyle(probe).color; };
  const series = [1, 2, 3, 4].map((n) => resolved(`series-${n}`));
  const found = { series, text: resolved("text"), quiet: resolved("quiet"), edge: resolved("edge"), hatch: resolved("hatch") };
  probe.remove();
  return found;
}
