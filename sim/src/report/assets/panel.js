// The head of the page, the filter, the details, and the list of events.

const ROW = 22;

function element(tag, { text, ...attributes } = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  if (text !== undefined) made.textContent = text;
  made.append(...children);
  return made;
}

const byId = (id) => document.getElementById(id);

function fillHead(run) {
  const { meta } = run;
  const failed = meta.check !== null;
  document.body.classList.add(failed ? "bad" : "good");
  byId("badge").textContent = failed ? `VIOLATION ${meta.check}` : "OK";
  byId("promise").textContent = failed
    ? meta.promise ? `Broken: “${meta.promise}”` : ""
    : "Nothing was broken in this run.";
  byId("what").textContent = readable(meta.what ?? "");
  const facts = [
    ["run", meta.name],
    ["commit", meta.commit.slice(0, 12)],
    ["trace hash", meta.trace_hash],
    ["simulated", `${seconds(run.end, 3)} s`],
    ["servers", meta.servers],
    ["clients", meta.clients],
    ["events", run.count],
  ];
  if (run.violation !== null) facts.splice(1, 0, ["violation at", `${seconds(run.at[run.violation])} s`]);
  byId("facts").append(...facts.map(([name, value]) =>
    element("div", {}, element("dt", { text: name }), element("dd", { text: value }))));
  byId("replay").textContent = meta.replay;
  byId("copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(meta.replay);
      byId("copy").textContent = "Copied";
    } catch {
      // A page that is opened as a file may not write there: mark the text instead.
      getSelection().selectAllChildren(byId("replay"));
    }
  });
}

function chip(label, checked, changed, colour) {
  const input = element("input", { type: "checkbox" });
  input.checked = checked;
  input.addEventListener("change", () => changed(input.checked));
  const face = element("span", { text: label });
  if (colour) {
    const mark = element("i");
    mark.style.background = `var(--${colour})`;
    face.prepend(mark);
  }
  return element("label", { class: "chip" }, input, face);
}

function fillFilter(run, filter, changed) {
  run.nodes.forEach((node, index) => {
    if (node.kind === "world") return;
    byId("nodes").append(chip(node.name, true, (on) => {
      if (on) filter.hidden.delete(index);
      else filter.hidden.add(index);
      changed();
    }));
  });
  const kinds = [
    ["quorum", "replication", "quorum"],
    ["election", "votes", "election"],
    ["client", "clients", "client"],
    ["pings", "pings", "ping"],
    ["disk", "disk", "sync"],
    ["notes", "notes", "past"],
  ];
  for (const [kind, label, colour] of kinds) {
    byId("kinds").append(chip(label, filter.kinds[kind], (on) => {
      filter.kinds[kind] = on;
      changed();
    }, colour));
  }
}

function fillLegend(run) {
  const entries = [
    ["leader", "leader"], ["follower", "follower"], ["looking", "looking"], ["leader-soft", "still joining (paler)"],
    ["down", "down (hatched)"], ["fault", "fault"], ["ok", "operation ok"], ["error", "refused"],
    ["unknown", "never answered"], ["sync", "| made durable"], ["past", "led to it", "round"],
    ["quorum", "replication", "stroke"], ["handshake", "joining a leader", "stroke"], ["election", "vote", "stroke"], ["client", "client", "stroke"],
  ];
  byId("legend").append(...entries.map(([colour, label, shape]) => {
    const mark = element("i", { class: shape });
    mark.style.background = `var(--${colour})`;
    return element("li", {}, mark, label);
  }), element("li", { text: "line on top of a band: colour of its epoch" }));
}

function eventLink(run, i, page, prefix = "") {
  const text = `${prefix}${seconds(run.at[i])} ${run.nodes[run.node[i]].name} ${run.text(i)}`;
  const button = element("button", { class: "link", type: "button", text });
  button.addEventListener("click", () => page.select(i));
  return element("li", {}, button);
}

function showDetails(run, page, i, message) {
  const box = byId("details");
  box.replaceChildren();
  if (i === null) {
    box.append(element("p", { class: "muted", text: "Select an event in the picture or in the list." }));
    return;
  }
  const name = run.nodes[run.node[i]].name;
  box.append(element("h2", { text: `${name} ${run.text(i)}` }));
  const life = run.incarnation[i] > 0 ? `, process ${run.incarnation[i]}` : "";
  box.append(element("div", { class: "muted", text: `${seconds(run.at[i])} s, ${name}${life}, event ${i}` }));
  const messages = run.messages.of(i);
  const list = (title, items) => {
    if (items.length > 0) box.append(element("h3", { text: title }), element("ul", {}, ...items));
  };
  list("Messages", messages.slice(0, 12).map((m) => {
    const [line, when] = describe(run, { message: m });
    const other = run.messages.list[m].sent === i ? run.messages.list[m].received : run.messages.list[m].sent;
    const item = element("li", {}, `${m === message ? "▸ " : ""}${line} `, element("small", { class: "muted", text: when }));
    if (other !== null) {
      const jump = element("button", { class: "link", type: "button", text: " other end" });
      jump.addEventListener("click", () => page.select(other));
      item.append(jump);
    }
    return item;
  }));
  list("Came of", run.causes(i).slice(-12).map((cause) => eventLink(run, cause, page)));
  const effects = run.effects(i);
  list("Led to", effects.slice(0, 12).map((effect) => eventLink(run, effect, page)));
  if (effects.length > 12) box.append(element("div", { class: "muted", text: `and ${effects.length - 12} more` }));
  const focus = element("button", { type: "button", text: "Highlight what led to this" });
  focus.addEventListener("click", () => page.focus(i));
  box.append(element("p", {}, focus));
}

// On paper there is nothing to scroll: the story is written out.
function writeStory(run, story) {
  byId("printed").replaceChildren(...story.slice(-120).map((i) =>
    element("li", { text: `${seconds(run.at[i])} ${run.nodes[run.node[i]].name} ${run.text(i)}` })));
}

// A list of which only the rows in sight exist.
function newList(run, picture, page) {
  const box = byId("list");
  const spacer = byId("spacer");
  const list = { shown: [], box };
  const rows = new Map();
  const render = () => {
    const first = Math.max(0, Math.floor(box.scrollTop / ROW) - 8);
    const last = Math.min(list.shown.length, Math.ceil((box.scrollTop + box.clientHeight) / ROW) + 8);
    for (const [place, row] of rows) {
      if (place < first || place >= last) {
        row.remove();
        rows.delete(place);
      }
    }
    for (let place = first; place < last; place++) {
      if (!rows.has(place)) rows.set(place, addRow(list, run, picture, page, spacer, place));
    }
  };
  box.addEventListener("scroll", render);
  list.fill = (shown) => {
    list.shown = shown;
    rows.clear();
    spacer.replaceChildren();
    spacer.style.height = `${shown.length * ROW}px`;
    box.setAttribute("aria-activedescendant", "");
    render();
    byId("count").textContent = `${shown.length} of ${run.count}`;
  };
  list.refresh = () => {
    rows.clear();
    spacer.replaceChildren();
    render();
  };
  list.reveal = (event) => {
    const place = placeOf(list.shown, event);
    if (place < 0) return;
    const top = place * ROW;
    if (top < box.scrollTop || top + ROW > box.scrollTop + box.clientHeight) {
      box.scrollTop = Math.max(0, top - box.clientHeight / 2);
    }
    render();
    box.setAttribute("aria-activedescendant", `event-${event}`);
  };
  box.addEventListener("keydown", (event) => {
    const place = placeOf(list.shown, picture.selected);
    const page_rows = Math.max(1, Math.floor(box.clientHeight / ROW) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page_rows, PageUp: -page_rows };
    let next = null;
    if (steps[event.key]) next = Math.min(list.shown.length - 1, Math.max(0, place + steps[event.key]));
    if (event.key === "Home") next = 0;
    if (event.key === "End") next = list.shown.length - 1;
    if (event.key === "Enter") page.centre(picture.selected);
    if (next === null || list.shown.length === 0) return;
    event.preventDefault();
    page.select(list.shown[next]);
  });
  return list;
}

function addRow(list, run, picture, page, spacer, place) {
  const i = list.shown[place];
  const kind = run.kind[i];
  const classes = ["row", `is-${kind}`];
  if (MINOR.has(kind)) classes.push("minor");
  if (kind === "life" && isEnd(run.text(i))) classes.push("ends");
  if (picture.past[i]) classes.push("in-past");
  const row = element("div", {
    class: classes.join(" "), role: "option", id: `event-${i}`, title: run.text(i),
    "aria-selected": i === picture.selected, "aria-posinset": place + 1, "aria-setsize": list.shown.length,
  },
  element("span", { class: "at", text: seconds(run.at[i]) }),
  element("span", { class: "who", text: run.nodes[run.node[i]].name }),
  element("span", { class: "text", text: run.text(i) }));
  row.style.top = `${place * ROW}px`;
  row.addEventListener("click", () => page.select(i));
  spacer.append(row);
  return row;
}

// Place of an event in a sorted list, or of the one before it; -1 where there is none.
function placeOf(shown, event) {
  if (event === null) return -1;
  let low = 0;
  let high = shown.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (shown[middle] <= event) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
