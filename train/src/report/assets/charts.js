// Values under the pointer. Each chart carries its data in a script element beside its drawing.
"use strict";
(() => {
  const tip = document.getElementById("tip");
  const number = (value) => {
    const digits = Math.abs(value) >= 100 ? 1 : Math.abs(value) >= 1 ? 2 : 4;
    return value.toFixed(digits).replace("-", "−");
  };
  const line = (text, colour) => {
    const row = document.createElement("div");
    if (colour !== undefined) {
      const dot = document.createElement("i");
      dot.className = "c" + colour;
      row.append(dot);
    }
    const words = document.createElement(colour === undefined ? "b" : "span");
    words.textContent = text;
    row.append(words);
    return row;
  };
  const show = (rows, event) => {
    tip.replaceChildren(...rows);
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    const left =
      event.clientX + 16 + width > innerWidth ? event.clientX - 16 - width : event.clientX + 16;
    const top =
      event.clientY + 16 + height > innerHeight ? event.clientY - 12 - height : event.clientY + 16;
    tip.style.left = Math.max(4, left) + "px";
    tip.style.top = Math.max(4, top) + "px";
  };
  // The pointer in the drawing's own units.
  const place = (svg, event) => {
    const box = svg.getBoundingClientRect(),
      view = svg.viewBox.baseVal;
    return [
      ((event.clientX - box.left) * view.width) / box.width,
      ((event.clientY - box.top) * view.height) / box.height,
    ];
  };
  const watch = (holder, read) => {
    const svg = holder.querySelector(":scope > svg");
    const data = JSON.parse(
      holder.querySelector(':scope > script[type="application/json"]').textContent,
    );
    const hide = () => {
      tip.hidden = true;
      svg.querySelector(".cursor")?.setAttribute("transform", "");
    };
    const move = (event) => {
      const rows = read(svg, data, place(svg, event));
      rows ? show(rows, event) : hide();
    };
    svg.addEventListener("pointermove", move);
    svg.addEventListener("pointerdown", move);
    svg.addEventListener("pointerleave", hide);
  };

  const readLines = (svg, data, [px]) => {
    const [left, right] = data.frame,
      [x0, x1] = data.values;
    if (px < left - 8 || px > right + 8) return null;
    const wanted = x0 + ((px - left) / (right - left)) * (x1 - x0);
    const distance = (point) => Math.abs(point[0] - wanted);
    const nearest = (points) =>
      points.reduce((best, point) => (distance(point) < distance(best) ? point : best));
    const x = nearest(data.series.map((series) => nearest(series.points)))[0];
    svg
      .querySelector(".cursor")
      .setAttribute(
        "transform",
        `translate(${left + 9 + ((x - x0) / (x1 - x0)) * (right - left)} 0)`,
      );
    const rows = [line(`${data.x} ${x}`)];
    for (const series of data.series) {
      const point = nearest(series.points);
      const when = point[0] === x ? "" : ` (${data.x} ${point[0]})`;
      rows.push(line(`${series.name}: ${number(point[1])}${when}`, series.colour));
    }
    return rows;
  };

  const readMap = (svg, data, [px, py]) => {
    const [left, right, top, bottom] = data.frame;
    const column = Math.floor(((px - left) / (right - left)) * data.columns.length);
    const row = Math.floor(((py - top) / (bottom - top)) * data.rows.length);
    const span = data.columns[column],
      value = data.rows[row]?.[column];
    if (span === undefined || value === undefined) return null;
    const epochs = span[0] === span[1] ? `epoch ${span[0]}` : `epochs ${span[0]} to ${span[1]}`;
    const words =
      value === null ? "not measured" : `${number(value)} nats${value > 0.01 ? "" : ", inactive"}`;
    const first = row * data.unitsInRow + 1,
      last = Math.min(first + data.unitsInRow - 1, data.units);
    const unit = first === last ? `unit ${first}` : `units ${first} to ${last}`;
    return [line(`${data.layer}, ${unit} of ${data.units}`), line(`${epochs}: ${words}`)];
  };

  // ---- Saving: a drawing as a file of its own, which has the legend and brings its styles, and
  // its numbers.

  const save = (name, type, text) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  const ofItsOwn = (svg) => {
    const copy = svg.cloneNode(true),
      full = svg.dataset.full.split(" ");
    const style = document.createElementNS("http://www.w3.org/2000/svg", "style");
    style.textContent = document.getElementById("file-style").textContent;
    copy.prepend(style);
    copy.setAttribute("viewBox", svg.dataset.full);
    copy.setAttribute("width", full[2]);
    copy.setAttribute("height", full[3]);
    copy.removeAttribute("data-full");
    copy.querySelector(".cursor")?.remove();
    return new XMLSerializer().serializeToString(copy) + "\n";
  };
  document.querySelectorAll('script[type="text/csv"]').forEach((numbers) => {
    const svg = numbers.previousElementSibling,
      name = numbers.dataset.name;
    const bar = document.createElement("div");
    bar.className = "save";
    const button = (ending, write) => {
      const made = document.createElement("button");
      made.type = "button";
      made.textContent = ending.toUpperCase();
      made.title = made.ariaLabel = `Save ${name}.${ending}`;
      made.addEventListener("click", write);
      bar.append(made);
    };
    button("svg", () => save(`${name}.svg`, "image/svg+xml", ofItsOwn(svg)));
    button("csv", () =>
      save(`${name}.csv`, "text/csv", numbers.textContent.replaceAll("<\u200b/", "</")),
    );
    numbers.after(bar);
  });

  document.querySelectorAll("figure.lines").forEach((figure) => watch(figure, readLines));
  document.querySelectorAll(".map").forEach((panel) => watch(panel, readMap));
})();
