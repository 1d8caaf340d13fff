// What of the console lives: parts of pages that refresh themselves, and buttons that copy a text. Pages work without it.
"use strict";

// An element with data-live is filled anew from that path every two seconds, or as often as data-every says, while the
// page can be seen.
function follow(element) {
  const path = element.dataset.live;
  const pause_ms = 1000 * Number(element.dataset.every || 2);
  let shown = null;
  async function look() {
    if (!document.hidden && !isBeingMarked(element)) {
      try {
        const answer = await fetch(path, { credentials: "same-origin", redirect: "error" });
        if (answer.status === 401) {
          location.reload(); // the session is over: the page leads to signing in
          return;
        }
        if (answer.ok) {
          const text = await answer.text();
          if (shown !== null && text !== shown) {
            replace(element, text);
          }
          shown = text;
          element.removeAttribute("data-stale");
        } else if (answer.status === 404) {
          location.reload(); // what was shown is gone, and the page says so
          return;
        }
      } catch {
        element.setAttribute("data-stale", ""); // the service does not answer; what is shown may be old
      }
    }
    setTimeout(look, pause_ms);
  }
  look();
}

// Whether somebody is marking text there, which would be lost.
function isBeingMarked(element) {
  const marked = getSelection();
  return !marked.isCollapsed && element.contains(marked.anchorNode);
}

// Fills an element; who was on a link or a button there by keyboard stays on it.
function replace(element, text) {
  const stops = () => [...element.querySelectorAll("a, button")];
  const at = stops().indexOf(document.activeElement);
  element.innerHTML = text;
  offerCopies(element);
  if (at >= 0) stops()[at]?.focus();
}

// A button with data-copy copies the text beside it.
function offerCopies(within) {
  for (const button of within.querySelectorAll("[data-copy]")) {
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", async () => {
      const source = button.parentElement.querySelector("code");
      await navigator.clipboard.writeText(source.textContent.trim());
      const before = button.textContent;
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = before), 1500);
    });
  }
}

offerCopies(document);
document.querySelectorAll("[data-live]").forEach(follow);
