"use strict";
// Shows a tip for one point: the nearest to the pointer or finger, or the one that the arrow keys reached.
{
  const REACH = 28; // pixels
  const BEHIND = 8; // pixels by which a grey point must be nearer than another point
  const chart = document.querySelector(".chart");
  const tip = chart.querySelector(".tip");
  const components = JSON.parse(chart.dataset.components);
  const texts = new Map();
  for (const point of chart.querySelectorAll(".point")) {
    const title = point.querySelector("title");
    texts.set(point, title.textContent);
    title.remove(); // otherwise the browser shows it beside the tip
  }
  const named = [...texts.keys()].filter((point) => !point.closest("[aria-hidden]"));
  named.sort((one, other) => parseFloat(one.getAttribute("x")) - parseFloat(other.getAttribute("x")));
  for (const point of named) {
    point.setAttribute("role", "img");
    point.setAttribute("aria-label", texts.get(point));
    point.setAttribute("tabindex", point.classList.contains("best") ? "0" : "-1");
    point.addEventListener("focus", () => show(point));
    point.addEventListener("blur", hide);
  }
  let shown = null;

  function centre(point) {
    const box = point.getBoundingClientRect();
    return [box.left + box.width / 2, box.top + box.height / 2];
  }

  // Of several points in one place, the one that is drawn last: it covers the others.
  function nearest(x, y) {
    let found = null;
    let least = REACH;
    for (const point of texts.keys()) {
      const [left, top] = centre(point);
      const distance = Math.hypot(left - x, top - y) + (point.classList.contains("evaluated") ? BEHIND : 0);
      if (distance <= least) [found, least] = [point, distance];
    }
    return found;
  }

  function made(name, ...content) {
    const element = document.createElement(name);
    element.append(...content);
    return element;
  }

  function line(kind, ...content) {
    const element = made("div", ...content);
    element.className = kind;
    return element;
  }

  function layers(bits) {
    if (new Set(bits).size === 1) return [line("bits", made("b", bits[0]), " bits everywhere")];
    const groups = new Map();
    components.forEach((name, index) => {
      const dot = name.lastIndexOf(".");
      const layer = name.slice(0, Math.max(dot, 0));
      const parts = groups.get(layer) ?? [layer && `${layer}: `];
      groups.set(layer, [...parts, parts.length > 1 ? ", " : "", `${name.slice(dot + 1)}\u00a0`, made("b", bits[index])]);
    });
    return [...groups.values()].map((parts) => line("bits", ...parts));
  }

  function show(point) {
    if (shown === point) return;
    hide();
    shown = point;
    point.classList.add("on");
    const [name, value] = texts.get(point).split("\n");
    tip.replaceChildren(line("name", name), line("value", value), ...layers(point.dataset.bits.split(" ")));
    tip.hidden = false;
    const frame = chart.getBoundingClientRect();
    const [x, y] = centre(point);
    const left = Math.min(Math.max(x - frame.left - tip.offsetWidth / 2, 0), frame.width - tip.offsetWidth);
    const top = y - frame.top;
    tip.style.left = `${left}px`;
    tip.style.top = `${top < frame.height / 2 ? top + 16 : top - tip.offsetHeight - 16}px`;
  }

  function hide() {
    if (shown) shown.classList.remove("on");
    shown = null;
    tip.hidden = true;
  }

  function follow(event) {
    const point = nearest(event.clientX, event.clientY);
    if (point) show(point);
    else hide();
  }

  chart.addEventListener("pointermove", follow);
  chart.addEventListener("pointerdown", follow);
  chart.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "mouse") hide();
  });
  document.addEventListener("pointerdown", (event) => {
    if (!chart.contains(event.target)) hide();
  });
  chart.addEventListener("keydown", (event) => {
    const at = named.indexOf(document.activeElement);
    const steps = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: named.length - 1 };
    if (event.key === "Escape") hide();
    if (at < 0 || !(event.key in steps)) return;
    event.preventDefault();
    const next = named[Math.min(Math.max(steps[event.key], 0), named.length - 1)];
    document.activeElement.setAttribute("tabindex", "-1");
    next.setAttribute("tabindex", "0");
    next.focus();
  });
}
