// Mouse, touch and keys on the picture.

function startPointer(picture, page) {
  const { canvas, overview } = picture;
  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    drag = { x: event.offsetX, from: picture.view.from, to: picture.view.to, moved: false };
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag) return hover(picture, page, event.offsetX, event.offsetY);
    const moved = event.offsetX - drag.x;
    if (Math.abs(moved) > 3) drag.moved = true;
    if (!drag.moved) return;
    canvas.classList.add("drags");
    const shift = (moved / (picture.width - GUTTER)) * (drag.to - drag.from);
    setView(picture, drag.from - shift, drag.to - shift);
    page.redraw();
  });
  canvas.addEventListener("pointerup", (event) => {
    canvas.classList.remove("drags");
    if (drag && !drag.moved) pick(picture, page, event.offsetX, event.offsetY);
    drag = null;
  });
  canvas.addEventListener("pointerleave", () => page.hideTip());
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const span = picture.view.to - picture.view.from;
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      const shift = ((event.deltaX || event.deltaY) / picture.width) * span;
      setView(picture, picture.view.from + shift, picture.view.to + shift);
    } else {
      zoomAt(picture, timeOf(picture, event.offsetX), Math.exp(event.deltaY * 0.0015));
    }
    page.redraw();
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    if (moveByKey(picture, event.key)) {
      event.preventDefault();
      page.redraw();
    }
  });
  startOverview(picture, page, overview);
}

function moveByKey(picture, key) {
  const { from, to } = picture.view;
  const step = (to - from) * 0.15;
  const middle = (from + to) / 2;
  const moves = {
    ArrowLeft: () => setView(picture, from - step, to - step),
    ArrowRight: () => setView(picture, from + step, to + step),
    ArrowUp: () => zoomAt(picture, middle, 1 / 1.3),
    ArrowDown: () => zoomAt(picture, middle, 1.3),
    Home: () => setView(picture, 0, to - from),
    End: () => setView(picture, picture.run.end - (to - from), picture.run.end),
  };
  if (!moves[key]) return false;
  moves[key]();
  return true;
}

function startOverview(picture, page, overview) {
  let drags = false;
  const move = (event) => {
    const time = (event.offsetX / overview.clientWidth) * picture.run.end;
    const half = (picture.view.to - picture.view.from) / 2;
    setView(picture, time - half, time + half);
    page.redraw();
  };
  overview.addEventListener("pointerdown", (event) => {
    overview.setPointerCapture(event.pointerId);
    drags = true;
    move(event);
  });
  overview.addEventListener("pointermove", (event) => drags && move(event));
  overview.addEventListener("pointerup", () => (drags = false));
}

// What lies under a point: an event, a message, an operation, a fault, a phase.
function under(picture, x, y) {
  const point = nearest(picture.points, (each) => Math.hypot(each.x - x, each.y - y), 7);
  if (point) return { event: point.i };
  const arrow = nearest(picture.arrows, (each) => distance(each, x, y), 5);
  if (arrow) return { message: arrow.m };
  for (const hit of [...picture.hits].reverse()) {
    if (x >= hit.left && x <= hit.right && y >= hit.top && y <= hit.bottom) return hit.what;
  }
  return null;
}

function nearest(list, away, limit) {
  let best = null;
  let least = limit;
  for (const each of list) {
    const far = away(each);
    if (far <= least) {
      least = far;
      best = each;
    }
  }
  return best;
}

function distance({ from, to }, x, y) {
  const dx = to.x - from.x;
  const dy = to.y - from.y;
  const along = ((x - from.x) * dx + (y - from.y) * dy) / (dx * dx + dy * dy || 1);
  const way = Math.max(0, Math.min(1, along));
  return Math.hypot(from.x + way * dx - x, from.y + way * dy - y);
}

function hover(picture, page, x, y) {
  if (x < GUTTER) return page.hideTip();
  const what = under(picture, x, y);
  picture.canvas.classList.toggle("hits", what !== null);
  if (what === null) return page.hideTip();
  page.showTip(describe(picture.run, what), x, y);
}

function pick(picture, page, x, y) {
  const what = under(picture, x, y);
  if (what === null) return;
  page.select(eventOf(picture.run, what), { message: what.message ?? null, keepView: true });
}

// The event that stands for a thing.
function eventOf(run, what) {
  if (what.event !== undefined) return what.event;
  if (what.message !== undefined) {
    const message = run.messages.list[what.message];
    return message.received ?? message.sent;
  }
  if (what.op !== undefined) return run.operations[what.op].answered ?? run.operations[what.op].asked;
  if (what.fault !== undefined) return run.faults[what.fault].event;
  return run.phases[what.phase].event;
}

// Two lines about a thing: what, and when.
function describe(run, what) {
  if (what.event !== undefined) {
    const i = what.event;
    return [`${run.nodes[run.node[i]].name} ${run.text(i)}`, `at ${seconds(run.at[i])} s`];
  }
  if (what.message !== undefined) {
    const message = run.messages.list[what.message];
    const way = `${run.nodes[message.from].name} → ${run.nodes[message.to].name}`;
    const sent = run.at[message.sent];
    if (message.received === null) return [`${way}: ${message.text}`, `sent at ${seconds(sent)} s, never delivered`];
    const took = ((run.at[message.received] - sent) / 1000).toFixed(3);
    return [`${way}: ${message.text}`, `sent at ${seconds(sent)} s, ${took} ms on its way`];
  }
  if (what.op !== undefined) {
    const op = run.operations[what.op];
    const took = ((op.to - op.from) / 1000).toFixed(3);
    return [`${run.nodes[op.node].name} asks ${op.server}: ${op.call}`, `${op.status}: ${op.result}; ${took} ms from ${seconds(op.from)} s`];
  }
  if (what.fault !== undefined) {
    const fault = run.faults[what.fault];
    return [fault.text, fault.struck ? `until ${seconds(fault.to)} s` : "could not strike: nobody was there to be hit"];
  }
  const phase = run.phases[what.phase];
  return [`${run.nodes[phase.node].name}: ${phase.name}, epoch ${phase.epoch}`, `${seconds(phase.from)} to ${seconds(phase.to)} s`];
}
