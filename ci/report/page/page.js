"use strict";
// Filters, keys and copying; the page holds everything without it.
(() => {
  const root = document.documentElement;
  const all = (query, from = document) => [...from.querySelectorAll(query)];
  const one = (query) => document.querySelector(query);
  const tests = all(".test");
  const groups = all(".group");
  const search = one("#search");
  const verdict = one("#verdict");
  const toggles = all("button[data-status]");
  const lanes = new Map(all("a.lane").map((lane) => [lane.hash.slice(1), lane]));
  root.classList.add("scripted");

  // --- what is shown: the state is the address, so a link to the page shows the same ---

  const opened = new Map(groups.map((group) => [group, group.open]));
  const texts = new Map();
  const textOf = (test) => {
    if (!texts.has(test)) texts.set(test, test.textContent.toLowerCase());
    return texts.get(test);
  };

  const state = { q: "", status: new Set(), verdict: "" };

  function read() {
    const given = new URLSearchParams(location.search);
    const known = new Set(toggles.map((button) => button.dataset.status));
    state.q = given.get("q") || "";
    state.status = new Set((given.get("status") || "").split(",").filter((name) => known.has(name)));
    state.verdict = given.get("verdict") || "";
  }

  function write() {
    const given = new URLSearchParams();
    if (state.q) given.set("q", state.q);
    if (state.status.size) given.set("status", [...state.status].join(","));
    if (state.verdict) given.set("verdict", state.verdict);
    const query = given.toString();
    try {
      history.replaceState(null, "", (query ? "?" + query : location.pathname) + location.hash);
    } catch {
      // a page in a sandbox has no address of its own
    }
  }

  function show() {
    if (!search) return;
    if (search.value !== state.q) search.value = state.q;
    verdict.value = state.verdict;
    if (verdict.selectedIndex < 0) verdict.selectedIndex = 0;
    for (const button of toggles) {
      button.setAttribute("aria-pressed", String(state.status.has(button.dataset.status)));
    }
    const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
    const filtered = words.length > 0 || state.status.size > 0 || state.verdict !== "";
    let count = 0;
    for (const test of tests) {
      const fits =
        (!state.status.size || state.status.has(test.dataset.status)) &&
        (!state.verdict || state.verdict === test.dataset.verdict) &&
        words.every((word) => textOf(test).includes(word));
      test.hidden = !fits;
      count += fits;
      const lane = lanes.get(test.querySelector(".body").id);
      if (lane) lane.hidden = !fits;
    }
    for (const group of groups) {
      group.hidden = filtered && !group.querySelector(".test:not([hidden])");
      group.open = filtered || opened.get(group);
    }
    one("#none").hidden = count > 0;
    one("#shown").textContent = filtered ? `${count} of ${tests.length}` : "";
  }

  function change() {
    write();
    show();
  }

  function reset() {
    state.q = "";
    state.status.clear();
    state.verdict = "";
    change();
  }

  // --- one test: by its link, by key ---

  function reveal() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    const test = target.closest(".test");
    if (test && test.hidden) reset();
    for (let each = target; each; each = each.parentElement) {
      if (each.tagName === "DETAILS") each.open = true;
    }
    if (!test) return;
    test.scrollIntoView({ block: "start" });
    test.querySelector("summary").focus({ preventScroll: true });
  }

  const shown = () => tests.filter((test) => !test.hidden && test.checkVisibility());
  const current = () => document.activeElement && document.activeElement.closest(".test");

  function move(by) {
    const list = shown();
    if (!list.length) return;
    const at = list.indexOf(current());
    const next = list[at < 0 ? (by > 0 ? 0 : list.length - 1) : Math.min(list.length - 1, Math.max(0, at + by))];
    const summary = next.querySelector("summary");
    summary.focus({ preventScroll: true });
    summary.scrollIntoView({ block: "nearest" });
  }

  function toggleAll() {
    const list = shown();
    const open = !list.every((test) => test.open);
    for (const test of list) test.open = open;
  }

  // --- copying ---

  function say(text) {
    one("#said").textContent = text;
  }

  async function copy(box) {
    const text = box.querySelector("code, pre").textContent;
    const button = box.querySelector("button");
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // pages that were not fetched over HTTPS
      const field = document.createElement("textarea");
      field.value = text;
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    }
    say("copied");
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  }

  // --- events ---

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if ("copy" in button.dataset) copy(button.closest(".copy"));
    if ("reset" in button.dataset) reset();
    if ("status" in button.dataset) {
      const name = button.dataset.status;
      if (!state.status.delete(name)) state.status.add(name);
      change();
    }
  });

  const keys = {
    j: () => move(1),
    k: () => move(-1),
    x: toggleAll,
    f() {
      const only = state.status.size === 1 && state.status.has("failed");
      state.status = new Set(only ? [] : ["failed"]);
      change();
    },
    c() {
      const test = current();
      const box = (test || document).querySelector(".labelled .copy");
      if (box) copy(box);
    },
    "/"() {
      search.focus();
      search.select();
    },
    "?": () => one("#keys").scrollIntoView(),
    Escape: reset,
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input, select, textarea")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const action = search && keys[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });

  if (search) {
    search.form.addEventListener("submit", (event) => event.preventDefault());
    search.addEventListener("input", () => {
      state.q = search.value;
      change();
    });
    verdict.addEventListener("change", () => {
      state.verdict = verdict.value;
      change();
    });
    for (const group of groups) {
      group.querySelector("summary").addEventListener("click", () => opened.set(group, !group.open));
    }
  }
  addEventListener("hashchange", reveal);
  addEventListener("popstate", () => {
    read();
    show();
  });

  // paper cannot be clicked
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = all("details:not([open])").filter((each) => each.matches(".test.failed, .test.failed details, .plan"));
    for (const each of closed) each.open = true;
  });
  addEventListener("afterprint", () => {
    for (const each of closed) each.open = false;
  });

  read();
  show();
  reveal();
})();
