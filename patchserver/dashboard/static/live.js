// Keeps a page fresh: asks for it again and puts its <main> in place of the old one,
// while somebody looks at it and types nothing into it. Without this script all works too.
"use strict";

(() => {
  const quiet = (main) => main.innerHTML.replace(/(name="csrf_token" value=")[^"]*/g, "$1");
  const TYPED = "input:not([type=hidden]), select, textarea";
  let halted = false;
  let failed = 0;

  const busy = (main) =>
    document.hidden ||
    halted ||
    (document.activeElement && document.activeElement.matches(TYPED)) ||
    [...main.querySelectorAll(TYPED)].some(changed) ||
    !(getSelection() || { isCollapsed: true }).isCollapsed;

  const changed = (field) => {
    if (field.type === "checkbox") return field.checked !== field.defaultChecked;
    if (field.tagName !== "SELECT") return field.value !== field.defaultValue;
    const said = [...field.options].findIndex((option) => option.defaultSelected);
    return field.selectedIndex !== Math.max(said, 0);
  };

  // What has the focus, so that its successor gets it.
  const place = (element, main) => {
    if (!element || !main.contains(element)) return null;
    const focusable = "a[href], button, summary, [tabindex]";
    return { focusable, index: [...main.querySelectorAll(focusable)].indexOf(element) };
  };

  const put = (main, fresh) => {
    const focus = place(document.activeElement, main);
    const open = [...main.querySelectorAll("details[id]")].filter((one) => one.open);
    const notices = [...main.querySelectorAll(".notice[role]")];
    const { scrollX, scrollY } = window;
    main.replaceChildren(...fresh.childNodes);
    main.prepend(...notices);
    for (const one of open) {
      const same = document.getElementById(one.id);
      if (same) same.open = true;
    }
    if (focus) {
      const next = main.querySelectorAll(focus.focusable)[focus.index];
      if (next) next.focus({ preventScroll: true });
    }
    window.scrollTo(scrollX, scrollY);
  };

  const look = async (main) => {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (answer.redirected) return location.reload(); // to sign in
    if (!answer.ok) throw new Error(String(answer.status));
    const text = await answer.text();
    const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("main");
    if (fresh && !busy(main) && quiet(fresh) !== last) {
      last = quiet(fresh);
      put(main, fresh);
    }
  };

  const main = document.getElementById("main");
  if (!main || !main.dataset.live) return;
  let last = quiet(main);
  const button = document.createElement("button");
  const say = () => {
    const state = halted ? "Updates are paused" : failed > 1 ? "Server not reached" : "Live";
    note.textContent = state;
    note.className = halted ? "quiet" : failed > 1 ? "bad" : "good";
    button.textContent = halted ? "Go on" : "Pause updates";
  };
  const note = document.createElement("span");
  note.id = "live";
  button.type = "button";
  button.className = "quiet";
  button.addEventListener("click", () => {
    halted = !halted;
    say();
  });
  document.getElementById("foot").append(note, button);
  say();

  const every = Number(main.dataset.live) * 1000;
  const turn = async () => {
    try {
      if (!busy(main)) await look(main);
      failed = 0;
    } catch {
      failed += 1;
    }
    say();
    setTimeout(turn, every * Math.min(failed + 1, 6));
  };
  setTimeout(turn, every);
})();
