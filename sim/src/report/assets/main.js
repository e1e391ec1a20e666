// Puts the page together.

document.addEventListener("DOMContentLoaded", () => {
  const run = readRun(JSON.parse(byId("data").textContent));
  const filter = newFilter();
  const picture = newPicture(byId("picture"), byId("overview"), run, filter);
  let listed = run.violation === null ? "all" : "story";
  let due = false;
  let list = null;

  const page = {
    // At most once a frame, however much changed.
    redraw() {
      if (due) return;
      due = true;
      requestAnimationFrame(() => {
        due = false;
        draw(picture);
        showStatus(picture);
      });
    },
    select(event, { message = null, keepView = false } = {}) {
      picture.selected = event;
      showDetails(run, page, event, message);
      if (!keepView) page.bringIntoView(event);
      list.refresh();
      list.reveal(event);
      page.redraw();
    },
    bringIntoView(event) {
      if (event === null) return;
      const { from, to } = picture.view;
      const at = run.at[event];
      if (at >= from && at <= to) return;
      const span = to - from;
      setView(picture, at - span * 0.7, at + span * 0.3);
    },
    centre(event) {
      if (event === null) return;
      const half = (picture.view.to - picture.view.from) / 2;
      setView(picture, run.at[event] - half, run.at[event] + half);
      page.redraw();
    },
    focus(event) {
      picture.focus = event;
      picture.past = pastOf(run, event);
      page.refill();
      page.redraw();
    },
    refill() {
      list.fill(listOf(run, filter, picture, listed));
      list.reveal(picture.selected);
    },
    toStory() {
      picture.focus = run.violation;
      picture.past = pastOf(run, run.violation);
      setStoryView(picture);
      page.refill();
      page.select(run.violation, { keepView: true });
    },
    showTip([line, when], x, y) {
      const tip = byId("tip");
      tip.replaceChildren(element("div", { text: line }), element("small", { text: when }));
      tip.hidden = false;
      const top = y + 16;
      const room = picture.height - tip.offsetHeight - 4;
      tip.style.left = `${Math.max(0, Math.min(x + 14, picture.width - tip.offsetWidth - 4))}px`;
      tip.style.top = `${top > room ? top - tip.offsetHeight - 28 : top}px`;
    },
    hideTip() {
      byId("tip").hidden = true;
    },
  };

  list = newList(run, picture, page);
  fillHead(run);
  fillLegend(run);
  fillFilter(run, filter, () => {
    layOut(picture);
    page.refill();
    page.redraw();
  });
  for (const input of document.querySelectorAll("input[name=listed]")) {
    input.checked = input.value === listed;
    input.addEventListener("change", () => {
      listed = input.value;
      page.refill();
    });
  }
  layOut(picture);
  setStoryView(picture);
  startPointer(picture, page);
  startButtons(run, picture, page);
  startSearch(run, filter, page);
  startTheme(byId("theme"), () => {
    picture.colour = readColours();
    page.redraw();
  });
  new ResizeObserver(() => {
    // A canvas that changes its size is empty: no frame may show it so.
    layOut(picture);
    draw(picture);
    showStatus(picture);
  }).observe(byId("picture").parentElement);
  addEventListener("beforeprint", () => {
    if (run.violation !== null) writeStory(run, listOf(run, filter, picture, "story"));
  });
  page.refill();
  page.select(run.violation, { keepView: true });
  draw(picture);
  showStatus(picture);
  document.documentElement.dataset.ready = "true";
});

// The events of the list: what led to the focus, without and with its small steps, or all.
function listOf(run, filter, picture, listed) {
  const shown = [];
  for (let i = 0; i < run.count; i++) {
    if (listed !== "all" && !picture.past[i]) continue;
    if (listed === "story" && MINOR.has(run.kind[i])) continue;
    if (!eventShown(run, filter, i)) continue;
    if (filter.text !== "" && !matches(run, filter, i)) continue;
    shown.push(i);
  }
  return shown;
}

function showStatus(picture) {
  const { from, to } = picture.view;
  const note = picture.skipped ? ", not every message is drawn: zoom in" : "";
  byId("status").textContent = `${seconds(Math.max(0, from), 4)} to ${seconds(to, 4)} s${note}`;
}

function startButtons(run, picture, page) {
  const middle = () => (picture.view.from + picture.view.to) / 2;
  const acts = {
    "zoom-in": () => zoomAt(picture, middle(), 1 / 1.6),
    "zoom-out": () => zoomAt(picture, middle(), 1.6),
    whole: () => setView(picture, 0, run.end),
    back: () => page.toStory(),
    help: () => {
      const keys = byId("keys");
      keys.hidden = !keys.hidden;
      byId("help").setAttribute("aria-expanded", String(!keys.hidden));
    },
  };
  for (const [id, act] of Object.entries(acts)) {
    byId(id).addEventListener("click", () => {
      act();
      page.redraw();
    });
  }
  if (run.violation === null) byId("back").disabled = true;
  const keys = { "+": "zoom-in", "=": "zoom-in", "-": "zoom-out", 0: "whole", v: "back", "?": "help" };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      byId("search").blur();
      return page.toStory();
    }
    if (event.target.matches("input[type=search]")) return;
    if (event.key === "/") {
      event.preventDefault();
      return byId("search").focus();
    }
    if (event.key === "p" && picture.selected !== null) return page.focus(picture.selected);
    if (keys[event.key]) byId(keys[event.key]).click();
  });
}

function startSearch(run, filter, page) {
  const search = byId("search");
  search.addEventListener("input", () => {
    filter.text = search.value.trim().toLowerCase();
    page.refill();
    let found = 0;
    if (filter.text !== "") {
      for (let i = 0; i < run.count; i++) if (eventShown(run, filter, i) && matches(run, filter, i)) found++;
    }
    byId("found").textContent = filter.text === "" ? "" : `${found} found`;
    page.redraw();
  });
}
