// What of the console lives: parts of pages that refresh themselves, and buttons that copy a text. Pages work without it.
"use strict";

// An element with data-live is filled anew from that path every two seconds, or as often as data-every says, while the
// page can be seen.
function follow(element) {
  const path = element.dataset.live;
  const pause_ms = 1000 * Number(element.dataset.every || 2);
  let shown = null;
  async function look() {
    if (!document.hidden && !element.contains(document.activeElement)) {
      try {
        const answer = await fetch(path, { credentials: "same-origin", redirect: "error" });
        if (answer.status === 401) {
          location.reload(); // the session is over: the page leads to signing in
          return;
        }
        if (answer.ok) {
          const text = await answer.text();
          if (shown !== null && text !== shown) {
            element.innerHTML = text;
            offerCopies(element);
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
