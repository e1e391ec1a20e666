// Points and lines on the lanes: events, the violation, what was searched for.

// Points on the bands: what happened at a server, the strongest last.
function drawEvents(picture, context) {
  const { run, filter } = picture;
  const first = firstFrom(run, picture.view.from);
  const last = firstFrom(run, picture.view.to + 1);
  const dense = last - first > 4000;
  picture.points = [];
  for (let i = first; i < last; i++) {
    const lane = picture.laneOf.get(run.node[i]);
    if (!lane || !eventShown(run, filter, i)) continue;
    const kind = run.kind[i];
    const past = picture.focus !== null && picture.past[i] === 1;
    const x = xOf(picture, run.at[i]);
    if (kind === "sync") {
      context.fillStyle = picture.colour("sync");
      context.globalAlpha = past || picture.focus === null ? 1 : 0.45;
      context.fillRect(x - 0.75, lane.middle + lane.half + 1, 1.5, 7);
      context.globalAlpha = 1;
      picture.points.push({ x, y: lane.middle + lane.half + 5, i });
      continue;
    }
    if (kind === "life") {
      drawLife(picture, context, x, lane, run.text(i));
      picture.points.push({ x, y: lane.middle, i });
      continue;
    }
    if (!past && (dense || MINOR.has(kind) || lane.kind === "client")) continue;
    const y = lane.middle;
    picture.points.push({ x, y, i });
    context.beginPath();
    context.arc(x, y, past ? 3.6 : 2, 0, 2 * Math.PI);
    context.fillStyle = past ? picture.colour("past") : picture.colour("on-band");
    context.fill();
    if (past) {
      context.lineWidth = 1.2;
      context.strokeStyle = picture.colour("ground");
      context.stroke();
    }
  }
}

function isEnd(text) {
  return /killed|power|ends itself|empty|flipped/.test(text);
}

function drawLife(picture, context, x, lane, text) {
  const ends = isEnd(text);
  context.lineWidth = 2.5;
  context.strokeStyle = picture.colour(ends ? "fault" : "good");
  context.beginPath();
  if (ends) {
    context.moveTo(x - 5, lane.middle - 5);
    context.lineTo(x + 5, lane.middle + 5);
    context.moveTo(x - 5, lane.middle + 5);
    context.lineTo(x + 5, lane.middle - 5);
  } else {
    context.moveTo(x, lane.middle - lane.half - 3);
    context.lineTo(x, lane.middle + lane.half + 3);
  }
  context.stroke();
}

// The violation, the selection, matches of the search.
function drawMarks(picture, context) {
  const { run, filter } = picture;
  if (filter.text !== "") {
    context.strokeStyle = picture.colour("accent");
    context.lineWidth = 2;
    const last = firstFrom(run, picture.view.to + 1);
    for (let i = firstFrom(run, picture.view.from); i < last; i++) {
      const lane = picture.laneOf.get(run.node[i]);
      if (!lane || !eventShown(run, filter, i) || !matches(run, filter, i)) continue;
      context.beginPath();
      context.arc(xOf(picture, run.at[i]), lane.middle, 6.5, 0, 2 * Math.PI);
      context.stroke();
    }
  }
  if (run.healed !== null) {
    line(picture, context, run.healed, picture.colour("good"), "all faults end", [5, 4]);
  }
  if (run.violation !== null) {
    const label = `VIOLATION ${run.meta.check}`;
    line(picture, context, run.at[run.violation], picture.colour("bad"), label, []);
    ring(picture, context, run.violation, picture.colour("bad"), 10);
  }
  if (picture.selected !== null && picture.selected !== run.violation) {
    ring(picture, context, picture.selected, picture.colour("accent"), 9);
  }
}

function line(picture, context, time, colour, label, dashes) {
  const x = xOf(picture, time);
  if (x < GUTTER - 200 || x > picture.width + 200) return;
  context.strokeStyle = colour;
  context.lineWidth = 2;
  context.setLineDash(dashes);
  context.beginPath();
  context.moveTo(x, AXIS - 4);
  context.lineTo(x, picture.height);
  context.stroke();
  context.setLineDash([]);
  context.font = "600 12px system-ui, 'DejaVu Sans', sans-serif";
  const width = context.measureText(label).width + 10;
  const left = Math.min(x, picture.width - width);
  context.fillStyle = colour;
  context.fillRect(left, 2, width, AXIS - 5);
  context.fillStyle = "#ffffff";
  context.textAlign = "left";
  context.fillText(label, left + 5, AXIS / 2);
  context.font = "12px system-ui, 'DejaVu Sans', sans-serif";
}

function ring(picture, context, event, colour, radius) {
  const lane = picture.laneOf.get(picture.run.node[event]);
  if (!lane) return;
  context.strokeStyle = colour;
  context.lineWidth = 3;
  context.beginPath();
  context.arc(xOf(picture, picture.run.at[event]), lane.middle, radius, 0, 2 * Math.PI);
  context.stroke();
}
