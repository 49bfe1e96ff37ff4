// The script of the page. It reads the document and never writes markup: what it shows, it shows as text.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const root = document.documentElement;
  root.classList.add("scripted");

  // Theme: as the system says, dark, light. A page opened as a file may have no storage.
  const themes = ["auto", "dark", "light"];
  const stored = (value) => {
    try {
      if (value === undefined) return localStorage.getItem("parallax-theme");
      localStorage.setItem("parallax-theme", value);
    } catch {
      return null;
    }
    return value;
  };
  const setTheme = (theme) => {
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
    byId("px-theme").textContent = theme;
  };
  let theme = themes.includes(stored()) ? stored() : "auto";
  setTheme(theme);
  const nextTheme = () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    stored(theme);
    setTheme(theme);
  };
  byId("px-theme").addEventListener("click", nextTheme);

  let fades;
  const toast = (text) => {
    byId("px-toast").textContent = text;
    byId("px-toast").classList.add("on");
    clearTimeout(fades);
    fades = setTimeout(() => byId("px-toast").classList.remove("on"), 1500);
  };

  // Search and filter. A variant is shown if it has the verdict and contains every word.
  const search = byId("px-search");
  const chips = all("[data-show]");
  const variants = all(".variant").map((element) => ({ element, id: element.id, tone: element.dataset.tone }));
  const groups = all(".scenario, .area");
  const cards = all(".red, .finding, .figure").map((element) => ({ element }));
  const openAtFirst = new Set(all("details[open]"));
  let show = "all";
  let isFiltered = false;
  const textOf = (it) => {
    if (it.text === undefined) {
      const scenario = it.element.closest(".scenario")?.querySelector("summary").textContent ?? "";
      it.text = `${scenario} ${it.element.textContent}`.toLowerCase();
    }
    return it.text;
  };
  const wanted = () => search.value.toLowerCase().split(/\s+/).filter(Boolean);

  function filter() {
    const words = wanted();
    const matches = (it) => words.every((word) => textOf(it).includes(word));
    const shown = variants.filter((it) => (show === "all" || it.tone === show) && matches(it));
    const ids = new Set(shown.map((it) => it.id));
    for (const it of variants) it.element.hidden = !ids.has(it.id);
    for (const it of cards) it.element.hidden = words.length > 0 && !matches(it);
    for (const group of groups) group.hidden = !group.querySelector(".variant:not([hidden])");
    const wasFiltered = isFiltered;
    isFiltered = words.length > 0 || show !== "all";
    if (isFiltered) {
      for (const group of groups) group.open = !group.hidden;
      // Few enough to be read: what matched is opened, down to the step.
      if (words.length > 0 && shown.length <= 3) shown.forEach((it) => reveal(it.element, words));
    } else if (wasFiltered) {
      for (const details of all("details")) details.open = openAtFirst.has(details);
    }
    for (const link of all(".lanes a")) {
      const id = link.getAttribute("href").slice(1);
      link.classList.toggle("off", isFiltered && !ids.has(id) && !ids.has(id.split(":")[0]));
    }
    byId("px-main").classList.toggle("filtered", isFiltered);
    const wrong = byId("px-wrong");
    if (wrong) wrong.hidden = !wrong.querySelector(".red:not([hidden])");
    const found = byId("px-found");
    found.hidden = !isFiltered;
    found.textContent =
      shown.length === 0 ? "Nothing matches. Esc shows everything." : `${shown.length} of ${variants.length} variants`;
    for (const chip of chips) chip.setAttribute("aria-pressed", String(chip.dataset.show === show));
    mark(words);
  }

  function reveal(variant, words) {
    variant.open = true;
    for (const step of all(".step", variant)) {
      const text = step.textContent.toLowerCase();
      step.open = words.some((word) => text.includes(word) && !step.querySelector("summary").textContent.toLowerCase().includes(word));
    }
  }

  // Marks what was searched, where the browser can do so without a change of the document.
  const MARKS = 500;
  function mark(words) {
    if (!window.Highlight || !CSS.highlights) return;
    CSS.highlights.delete("found");
    if (words.length === 0) return;
    const ranges = [];
    for (const place of all(".red:not([hidden]), .finding:not([hidden]), .variant:not([hidden])")) {
      const walker = document.createTreeWalker(place, NodeFilter.SHOW_TEXT);
      while (ranges.length < MARKS && walker.nextNode()) {
        const text = walker.currentNode.data.toLowerCase();
        for (const word of words) {
          for (let at = text.indexOf(word); at >= 0 && ranges.length < MARKS; at = text.indexOf(word, at + word.length)) {
            const range = new Range();
            range.setStart(walker.currentNode, at);
            range.setEnd(walker.currentNode, at + word.length);
            ranges.push(range);
          }
        }
      }
    }
    CSS.highlights.set("found", new Highlight(...ranges));
  }

  let soon;
  search.addEventListener("input", () => {
    clearTimeout(soon);
    soon = setTimeout(filter, 120);
  });
  const choose = (value) => {
    show = value;
    filter();
  };
  chips.forEach((chip) => chip.addEventListener("click", () => choose(chip.dataset.show === show ? "all" : chip.dataset.show)));
  const clear = () => {
    search.value = "";
    choose("all");
  };

  // Permalinks: whatever hides the target is opened.
  function follow() {
    const target = byId(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    if (target.closest("[hidden]")) clear();
    for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    target.scrollIntoView({ block: "start" });
  }
  addEventListener("hashchange", follow);
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    if (!link) return;
    // The same link again leads there again.
    if (link.href === location.href) follow();
    if (!link.classList.contains("link")) return;
    const done = navigator.clipboard?.writeText(link.href);
    done?.then(() => toast("link copied"), () => {});
  });

  // The timeline: zooming changes the width of what scrolls.
  const time = byId("px-time");
  const wide = byId("px-wide");
  const axis = byId("px-axis");
  const total = Number(wide.dataset.total) || 1;
  const FURTHEST = 120;
  let zoom = 1;
  const clock = (ms, distance) => {
    const seconds = ms / 1000;
    const rest = (seconds % 60).toFixed(distance < 1000 ? 1 : 0).padStart(distance < 1000 ? 4 : 2, "0");
    return `${Math.floor(seconds / 60)}:${rest}`;
  };
  function drawAxis() {
    const wanted = (total / wide.offsetWidth) * 90;
    const distances = [100, 200, 500, 1e3, 2e3, 5e3, 1e4, 3e4, 6e4, 12e4, 3e5, 6e5, 18e5, 36e5];
    const distance = distances.find((it) => it >= wanted) ?? 36e5;
    const parts = [];
    const make = (name, attributes, text) => {
      const element = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      if (text) element.textContent = text;
      parts.push(element);
    };
    for (let ms = 0; ms <= total && parts.length < 8000; ms += distance) {
      const x = `${(ms / total) * 100}%`;
      make("line", { x1: x, x2: x, y1: 15, y2: 22 });
      make("text", { x, dx: 4, y: 14 }, clock(ms, distance));
    }
    axis.replaceChildren(...parts);
  }
  function setZoom(next, clientX) {
    const box = time.getBoundingClientRect();
    const offset = (clientX ?? box.left + box.width / 2) - box.left;
    const share = (time.scrollLeft + offset) / wide.offsetWidth;
    zoom = Math.min(FURTHEST, Math.max(1, next));
    wide.style.width = `${zoom * 100}%`;
    time.scrollLeft = share * wide.offsetWidth - offset;
    byId("px-level").textContent = `${zoom < 10 ? Math.round(zoom * 10) / 10 : Math.round(zoom)}×`;
    drawAxis();
  }
  function zoomTo(fromMs, toMs) {
    const long = Math.max(toMs - fromMs, total / FURTHEST);
    setZoom(total / (long * 1.1));
    time.scrollLeft = ((fromMs - long * 0.05) / total) * wide.offsetWidth;
  }
  const zooms = { in: () => setZoom(zoom * 2), out: () => setZoom(zoom / 2), fit: () => setZoom(1) };
  all("[data-zoom]").forEach((button) => button.addEventListener("click", zooms[button.dataset.zoom]));
  time.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      setZoom(zoom * Math.exp(-event.deltaY / 300), event.clientX);
    },
    { passive: false },
  );
  all(".show").forEach((button) =>
    button.addEventListener("click", () => {
      time.scrollIntoView({ block: "center" });
      zoomTo(Number(button.dataset.from), Number(button.dataset.to));
      const bar = all(".lanes a").find((it) => it.getAttribute("href") === `#${button.closest(".variant").id}`);
      const lane = bar?.getBoundingClientRect();
      if (lane) time.scrollTop += lane.top - time.getBoundingClientRect().top - time.clientHeight / 2;
      bar?.focus({ preventScroll: true });
    }),
  );
  time.addEventListener("pointerover", (event) => {
    const title = event.target.closest(".bar, .bit")?.querySelector("title");
    if (title) byId("px-read").textContent = title.textContent;
  });
  // Dragging pans; along the axis it chooses a span.
  time.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.target.closest("a")) return;
    const left = wide.getBoundingClientRect().left;
    const fromX = event.clientX;
    const [scrollX, scrollY] = [time.scrollLeft, time.scrollTop];
    let span = null;
    if (event.target.closest("#px-axis")) {
      span = document.createElement("div");
      span.id = "px-span";
      wide.append(span);
    } else {
      time.classList.add("drag");
    }
    const move = (at) => {
      if (span) {
        span.style.left = `${Math.min(fromX, at.clientX) - left}px`;
        span.style.width = `${Math.abs(at.clientX - fromX)}px`;
      } else {
        time.scrollLeft = scrollX - (at.clientX - fromX);
        time.scrollTop = scrollY - (at.clientY - event.clientY);
      }
    };
    const end = (at) => {
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", end);
      time.classList.remove("drag");
      if (!span) return;
      span.remove();
      const [a, b] = [fromX, at.clientX].map((x) => ((x - left) / wide.offsetWidth) * total).sort((x, y) => x - y);
      if (Math.abs(at.clientX - fromX) > 4) zoomTo(a, b);
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", end);
  });
  let fits;
  addEventListener("resize", () => {
    clearTimeout(fits);
    fits = setTimeout(drawAxis, 150);
  });
  drawAxis();

  // Keys.
  const visible = (element) => element.checkVisibility({ contentVisibilityAuto: false }) && !element.closest("[hidden]");
  function step(selector, by) {
    const lines = all(selector).filter(visible);
    if (lines.length === 0) return;
    const now = lines.indexOf(document.activeElement);
    const next = lines[now < 0 ? (by > 0 ? 0 : lines.length - 1) : (now + by + lines.length) % lines.length];
    next.focus();
    next.scrollIntoView({ block: next.matches(".red") ? "start" : "nearest" });
  }
  const openAll = (open) => {
    for (const details of all(".area, .scenario, .variant")) if (!details.closest("[hidden]")) details.open = open;
  };
  const order = ["all", ...chips.filter((it) => !it.disabled && it.dataset.show !== "all").map((it) => it.dataset.show)];
  const help = byId("px-help");
  byId("px-keys").addEventListener("click", () => help.showModal());
  byId("px-close").addEventListener("click", () => help.close());
  const keys = {
    "/": () => search.focus(),
    n: () => step(".red", 1),
    p: () => step(".red", -1),
    j: () => step("summary", 1),
    k: () => step("summary", -1),
    o: () => openAll(true),
    O: () => openAll(false),
    f: () => choose(order[(order.indexOf(show) + 1) % order.length]),
    t: nextTheme,
    "+": zooms.in,
    "=": zooms.in,
    "-": zooms.out,
    0: zooms.fit,
    "?": () => help.showModal(),
    Escape: clear,
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
    const isTyping = event.target === search;
    if (isTyping && event.key !== "Escape") return;
    const act = Object.hasOwn(keys, event.key) ? keys[event.key] : null;
    if (!act) return;
    event.preventDefault();
    if (isTyping) search.blur();
    act();
  });

  follow();
})();
