// Dialogs: what cannot be taken back is asked for first, and what is to be looked at is shown.

import { h, put, say } from "/page/dom.js";
import { t } from "/page/text.js";

// `act` is called when it is wanted; what it is refused with stands in the dialog.
export function confirm_({ title, text, press }, act) {
  const fault = h("p", { class: "fault", role: "alert" });
  const dialog = opened(title);
  const go = async () => {
    try {
      await act();
      dialog.close();
    } catch (refusal) {
      say(fault, refusal.message || t("fault.connection"));
    }
  };
  dialog.append(h("p", {}, text), fault,
    h("div", { class: "actions" }, h("button", { type: "button", onclick: () => dialog.close(), autofocus: true }, t("cancel")),
      h("button", { type: "button", class: "danger", onclick: go }, press)));
  dialog.showModal();
}

export function showDialog(title, ...body) {
  const dialog = opened(title);
  dialog.classList.add("wide");
  const close = h("button", { type: "button", onclick: () => dialog.close(), autofocus: true }, t("close"));
  dialog.append(...body, h("div", { class: "actions" }, close));
  dialog.showModal();
}

function opened(title) {
  const dialog = put(h("dialog", { "aria-labelledby": "dialog-title" }), h("h2", { id: "dialog-title" }, title));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  return dialog;
}
