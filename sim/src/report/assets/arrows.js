// Messages: arrows between lanes, and their names.

// With more in sight, not all are drawn.
const MANY = 12000;
const HANDSHAKES = new Set([
  "FOLLOWERINFO", "OBSERVERINFO", "LEADERINFO", "ACKEPOCH", "NEWLEADER", "UPTODATE", "DIFF", "TRUNC", "SNAP", "snapshot",
]);

function messageColour(message) {
  if (isPing(message.name)) return "ping";
  if (HANDSHAKES.has(message.name)) return "handshake";
  return message.plane;
}

// Ends of the arrow of a message; `null` where nothing of it can be seen.
function arrowOf(picture, message) {
  const near = picture.laneOf.get(message.from);
  const far = picture.laneOf.get(message.to);
  if (!near || !far) return null;
  const { run } = picture;
  const down = far.middle > near.middle;
  const from = { x: xOf(picture, run.at[message.sent]), y: near.middle + (down ? near.half : -near.half) };
  const end = far.middle + (down ? -far.half : far.half);
  if (message.received === null) {
    const way = 0.45;
    return { from, to: { x: from.x + 22, y: from.y + (end - from.y) * way }, lost: true };
  }
  return { from, to: { x: xOf(picture, run.at[message.received]), y: end }, lost: false };
}

function visibleMessages(picture) {
  const { run, filter } = picture;
  const { from, to } = picture.view;
  const first = firstFrom(run, from - run.messages.longest);
  const shown = [];
  const list = run.messages.list;
  for (let m = lowerBound(list, first); m < list.length; m++) {
    const message = list[m];
    if (run.at[message.sent] > to) break;
    const over = message.received === null ? run.at[message.sent] : run.at[message.received];
    if (over < from) continue;
    if (messageShown(filter, message)) shown.push(m);
  }
  return shown;
}

function lowerBound(list, event) {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle].sent < event) low = middle + 1;
    else high = middle;
  }
  return low;
}

function inPast(picture, message) {
  const { past } = picture;
  return message.received !== null && past[message.received] === 1 && past[message.sent] === 1;
}

function drawMessages(picture, context) {
  const { run } = picture;
  const shown = visibleMessages(picture);
  const every = Math.ceil(shown.length / MANY);
  picture.skipped = every > 1;
  const strokes = new Map();
  const strong = [];
  picture.arrows = [];
  shown.forEach((m, place) => {
    const message = run.messages.list[m];
    const isStrong = picture.focus !== null && inPast(picture, message);
    if (!isStrong && place % every !== 0) return;
    const arrow = arrowOf(picture, message);
    if (!arrow) return;
    picture.arrows.push({ ...arrow, m });
    if (isStrong) return strong.push({ arrow, message });
    const colour = messageColour(message);
    if (!strokes.has(colour)) strokes.set(colour, new Path2D());
    trace(strokes.get(colour), arrow);
  });
  const crowd = Math.max(0.12, Math.min(1, 700 / (shown.length + 1)));
  context.lineWidth = 1;
  for (const [colour, path] of strokes) {
    context.globalAlpha = (picture.focus === null ? 0.85 : 0.3) * crowd;
    context.strokeStyle = picture.colour(colour);
    context.stroke(path);
  }
  context.globalAlpha = 1;
  for (const { arrow, message } of strong) drawStrong(picture, context, arrow, message);
  drawArrowLabels(picture, context, strong, shown.length);
}

function trace(path, { from, to, lost }) {
  path.moveTo(from.x, from.y);
  path.lineTo(to.x, to.y);
  if (lost) {
    path.moveTo(to.x - 3, to.y - 3);
    path.lineTo(to.x + 3, to.y + 3);
    path.moveTo(to.x - 3, to.y + 3);
    path.lineTo(to.x + 3, to.y - 3);
    return;
  }
  const angle = Math.atan2(to.y - from.y, to.x - from.x);
  for (const side of [-0.4, 0.4]) {
    path.moveTo(to.x, to.y);
    path.lineTo(to.x - 7 * Math.cos(angle + side), to.y - 7 * Math.sin(angle + side));
  }
}

function drawStrong(picture, context, arrow, message) {
  const path = new Path2D();
  trace(path, arrow);
  context.strokeStyle = picture.colour(messageColour(message));
  context.lineWidth = 2;
  context.stroke(path);
}

// Names along arrows, as long as they do not run into each other.
function drawArrowLabels(picture, context, strong, shown) {
  const { run } = picture;
  const taken = [];
  const wanted = strong.map(({ arrow, message }) => ({ arrow, message }));
  if (shown < 60) {
    for (const { m, ...arrow } of picture.arrows) {
      const message = run.messages.list[m];
      if (!strong.some((each) => each.message === message)) wanted.push({ arrow, message, faint: true });
    }
  }
  context.textAlign = "left";
  context.font = "11px system-ui, 'DejaVu Sans', sans-serif";
  for (const { arrow, message, faint } of wanted) {
    const label = shortLabel(message);
    const width = context.measureText(label).width;
    for (const way of [0.5, 0.3, 0.7]) {
      const x = arrow.from.x + (arrow.to.x - arrow.from.x) * way + 5;
      const y = arrow.from.y + (arrow.to.y - arrow.from.y) * way;
      const box = { left: x - 2, right: x + width + 2, top: y - 7, bottom: y + 7 };
      const inBand = picture.lanes.some((lane) => box.bottom > lane.middle - lane.half && box.top < lane.middle + lane.half);
      if (box.right > picture.width || box.left < GUTTER || inBand || taken.some((other) => overlaps(box, other))) continue;
      taken.push(box);
      context.globalAlpha = 0.85;
      context.fillStyle = picture.colour("ground");
      context.fillRect(box.left, box.top, width + 4, 14);
      context.globalAlpha = faint ? 0.6 : 1;
      context.fillStyle = picture.colour(faint ? "faint" : messageColour(message));
      context.fillText(label, x, y);
      context.globalAlpha = 1;
      break;
    }
  }
  context.font = "12px system-ui, 'DejaVu Sans', sans-serif";
}

function shortLabel(message) {
  const text = message.text;
  if (message.name === "vote") return text.split(",")[0];
  return text.length > 34 ? `${text.slice(0, 33)}…` : text;
}

function overlaps(a, b) {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}
