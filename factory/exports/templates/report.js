"use strict";
(() => {
  const root = document.documentElement;
  const by = (id) => document.getElementById(id);
  const theme = by("theme");
  const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const name = () => { theme.textContent = dark() ? "Light" : "Dark"; };
  theme.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; name(); });
  name();

  const data = by("pairs");
  if (!data) return;
  const pairs = JSON.parse(data.textContent);
  const list = by("list"), detail = by("detail"), count = by("count"), search = by("search");
  const back = by("back"), next = by("next");
  const filters = ["status", "iteration", "feature", "verdict", "reason"].map((key) => by(`f-${key}`)).filter(Boolean);

  // Text from data enters the page as text nodes alone, in its own direction, and steers no other's.
  const level = (text) => text.replace(/[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "");
  const make = (tag, cls, text) => {
    const made = document.createElement(tag);
    if (cls) made.className = cls;
    if (text !== undefined && text !== null) {
      made.dir = "auto";
      made.textContent = tag === "pre" ? String(text) : level(String(text));
    }
    return made;
  };
  const marked = (text, words) => {
    const box = make("p", "text", "");
    if (!words) { box.textContent = text; return box; }
    const low = text.toLowerCase();
    let from = 0, at = low.length === text.length ? low.indexOf(words) : -1;
    while (at >= 0) {
      box.append(text.slice(from, at), make("mark", "", text.slice(at, at + words.length)));
      from = at + words.length;
      at = low.indexOf(words, from);
    }
    box.append(text.slice(from));
    return box;
  };

  const said_of = (vote) => vote.verdict === "partial" ? "asked in one order" : vote.verdict;
  const kept = (pair) => !pair.filter;
  const last = (pair) => pair.prompt && pair.prompt.length ? pair.prompt[pair.prompt.length - 1].content : pair.row || "";
  const title = (pair) => last(pair).trim().replace(/\s+/g, " ").slice(0, 160) || "(no prompt)";
  const reason = (pair) => pair.filter ? `${pair.filter}: ${pair.reason || "?"}` : "";
  const verdicts = (pair) => pair.votes.length ? pair.votes.map(said_of) : ["not judged"];
  const values = {
    status: (pair) => [kept(pair) ? "kept" : "rejected"],
    iteration: (pair) => [String(pair.iteration ?? "")],
    feature: (pair) => [pair.feature || ""],
    verdict: verdicts,
    reason: (pair) => [reason(pair)],
  };
  const haystacks = pairs.map((pair) => [
    ...(pair.prompt || []).map((turn) => turn.content), pair.chosen, pair.rejected, pair.original, pair.row, pair.pair_id,
  ].filter(Boolean).join("\n").toLowerCase());

  let shown = [], current = -1, items = [];

  const words = () => search.value.trim().toLowerCase();
  const apply = () => {
    const asked = words();
    shown = pairs.map((_, index) => index).filter((index) =>
      filters.every((select) => !select.value || values[select.id.slice(2)](pairs[index]).includes(select.value)) &&
      (!asked || haystacks[index].includes(asked)));
    const fragment = document.createDocumentFragment();
    items = shown.map((index, place) => {
      const pair = pairs[index], item = make("li");
      item.setAttribute("role", "option");
      item.id = `pair-${index}`;
      item.append(make("b", "", title(pair)));
      const line = make("span");
      line.append(make("span", kept(pair) ? "state" : "state no", kept(pair) ? "kept" : pair.reason || "rejected"));
      line.append(...[pair.feature, pair.iteration ? `iteration ${pair.iteration}` : ""].filter(Boolean).map((t) => make("span", "", ` · ${t}`)));
      item.append(line);
      item.addEventListener("click", () => select(place, true));
      fragment.append(item);
      return item;
    });
    list.replaceChildren(fragment);
    count.textContent = `${shown.length} of ${pairs.length} pairs`;
    select(shown.length ? 0 : -1);
  };

  const narrow = matchMedia("(max-width: 46rem)");
  const select = (place, asked = false) => {
    if (items[current]) items[current].setAttribute("aria-selected", "false");
    current = place;
    back.disabled = place <= 0;
    next.disabled = place < 0 || place >= shown.length - 1;
    if (place < 0) { detail.replaceChildren(make("p", "soft", "No pair fits. Take a filter away.")); return; }
    items[place].setAttribute("aria-selected", "true");
    list.setAttribute("aria-activedescendant", items[place].id);
    const item = items[place], top = item.offsetTop - list.offsetTop, over = top + item.offsetHeight - list.clientHeight;
    list.scrollTop = Math.max(over, Math.min(top, list.scrollTop));
    detail.replaceChildren(...describe(pairs[shown[place]]));
    detail.scrollTop = 0;
    if (asked && narrow.matches) detail.scrollIntoView({ block: "start" });
  };

  const fold = (label, text) => {
    const box = make("details");
    box.append(make("summary", "", label), make("pre", "", text));
    return box;
  };
  const probability = (pair, reply) => {
    const said = ["plain", "good", "bad"].map((view) => [view, (pair.logps || {})[`${reply}_${view}`]])
      .filter(([, value]) => value !== undefined).map(([view, value]) => `${Math.exp(value).toFixed(3)} ${view}`);
    return said.length ? `probability per token ${said.join(", ")}` : "";
  };
  const side = (pair, reply, label, system) => {
    const box = make("div", `side ${reply}`), text = pair[reply];
    box.append(make("h3", "", label));
    const cut = (pair.finish || {})[reply] === "length" ? "cut at the length limit" : "";
    const facts = [text ? `${text.length.toLocaleString("en")} characters` : "", cut, probability(pair, reply)].filter(Boolean);
    box.append(make("p", "meta", facts.join(" · ")));
    if (system) box.append(fold("The principle it was asked to follow", system));
    box.append(text ? marked(text, words()) : make("p", "soft", "There is no such reply."));
    return box;
  };
  const describe = (pair) => {
    const parts = [], tags = make("div", "tags");
    tags.append(make("span", kept(pair) ? "yes" : "no", kept(pair) ? "kept" : reason(pair) + (pair.detail ? ` (${pair.detail})` : "")));
    for (const text of [pair.feature, pair.iteration && `iteration ${pair.iteration}`, pair.source, pair.policy, pair.flags]) {
      if (text) tags.append(make("span", "", text));
    }
    for (const vote of pair.votes) {
      const cls = vote.verdict === "right" ? "yes" : vote.verdict === "wrong" ? "no" : "";
      const said = Object.entries(vote.votes).map(([order, to]) => `${order.replace("_", " ")} → ${to || "unreadable"}`);
      const tag = make("span", cls, `${vote.judge}${vote.audit ? " (audit)" : ""}: ${said_of(vote)}`);
      tag.title = said.join("; ");
      tags.append(tag);
    }
    parts.push(tags, make("h3", "", "Prompt"));
    for (const turn of pair.prompt || []) {
      const box = make("div", "turn");
      box.append(make("small", "", turn.role), marked(turn.content, words()));
      parts.push(box);
    }
    if (pair.row) parts.push(make("pre", "", pair.row));
    if (pair.chosen || pair.rejected) {
      const sides = make("div", "sides");
      sides.append(side(pair, "chosen", "Chosen", pair.system_good), side(pair, "rejected", "Rejected", pair.system_bad));
      parts.push(make("h3", "", "Replies"), sides);
    }
    if (pair.original) {
      const more = make("div", "more");
      more.append(fold(`Without a principle${probability(pair, "original") ? ` · ${probability(pair, "original")}` : ""}`, pair.original));
      parts.push(more);
    }
    if (pair.votes.length) {
      const lines = pair.votes.map((vote) => `${vote.judge}${vote.audit ? " (audit)" : ""}: ${said_of(vote)} — ` +
        Object.entries(vote.votes).map(([order, to]) => `${order.replace("_", " ")}: ${to || "unreadable"}`).join(", "));
      parts.push(fold("What the judges said", lines.join("\n")));
    }
    if (pair.pair_id) parts.push(make("p", "meta", pair.pair_id));
    return parts;
  };

  const move = (by) => { const to = current + by; if (to >= 0 && to < shown.length) select(to, true); };
  let waiting = 0;
  search.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(apply, 120); });
  for (const select of filters) select.addEventListener("change", apply);
  back.addEventListener("click", () => move(-1));
  next.addEventListener("click", () => move(1));
  by("clear").addEventListener("click", () => { search.value = ""; for (const select of filters) select.value = ""; apply(); });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.key === "Escape" && typing) { if (event.target === search) { search.value = ""; apply(); } event.target.blur(); return; }
    if (typing) return;
    if (event.key === "/") { event.preventDefault(); search.focus(); return; }
    const inside = document.activeElement === list;
    const step = { j: 1, k: -1, ...(inside ? { ArrowDown: 1, ArrowUp: -1 } : {}) }[event.key];
    if (step) { event.preventDefault(); move(step); }
  });
  apply();
})();
