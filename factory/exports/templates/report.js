"use strict";
(() => {
  const root = document.documentElement;
  const by = (id) => document.getElementById(id);
  const theme = by("theme");
  const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const name = () => { theme.textContent = dark() ? "Light" : "Dark"; };
  theme.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; name(); });
  name();

  const blocks = [...document.querySelectorAll("script.block")];
  if (!blocks.length) return;
  const list = by("list"), detail = by("detail"), count = by("count"), search = by("search"), pages = by("pages");
  const back = by("back"), next = by("next"), older = by("older"), newer = by("newer");
  const filters = ["status", "iteration", "feature", "verdict", "reason"].map((key) => by(`f-${key}`)).filter(Boolean);
  const PAGE = 100;

  // Text from data enters the page as text nodes alone, in its own direction, and steers no other's.
  const level = (text) => text.replace(/[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "");
  const make = (tag, cls, text) => {
    const made = document.createElement(tag);
    if (cls) made.className = cls;
    if (text !== undefined && text !== null) {
      made.dir = "auto";
      made.textContent = tag === "pre" || tag === "code" ? String(text) : level(String(text));
    }
    return made;
  };

  // The pairs lie in the page packed, an index first and then blocks of them, unpacked when they are read.
  const unpack = async (element) => {
    const bytes = Uint8Array.from(atob(element.textContent), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  };
  const unpacked = new Map();
  const block = (number) => {
    if (!unpacked.has(number)) unpacked.set(number, unpack(blocks[number + 1]));
    return unpacked.get(number);
  };
  let index = [], size = 1, systems = [];
  const whole = async (place) => (await block(Math.floor(place / size)))[place % size];

  // Markdown, as much as replies are written in, into elements made here: no link, image or markup of the data's.
  const INLINE = new RegExp([
    "(`{1,3})([^`\\n]{1,1000})\\1",
    "!?\\[([^\\]\\n]{0,400})\\]\\(([^()\\s]{1,2000})(?:\\s+\"[^\"\\n]{0,200}\")?\\)",
    "\\*\\*([^*\\n]{1,600})\\*\\*|(?<!\\w)__([^_\\n]{1,600})__(?!\\w)",
    "(?<![\\w*])\\*([^*\\s][^*\\n]{0,600})\\*(?![\\w*])|(?<!\\w)_([^_\\s][^_\\n]{0,600})_(?!\\w)",
    "~~([^~\\n]{1,600})~~",
  ].join("|"), "g");
  const inline = (box, text, depth = 0) => {
    let from = 0;
    for (const found of depth < 4 ? text.matchAll(INLINE) : []) {
      const [all, , code, label, address, bold, bold2, slant, slant2, gone] = found;
      box.append(level(text.slice(from, found.index)));
      from = found.index + all.length;
      if (code !== undefined) box.append(make("code", "", code));
      else if (address !== undefined) {
        const said = make("span", "linked", "");
        if (all[0] === "!") said.append("[image] ");
        inline(said, label, depth + 1);
        box.append(said, make("small", "address", ` ${address}`));
      } else {
        const tag = bold ?? bold2 ? "strong" : slant ?? slant2 ? "em" : "s";
        const part = make(tag, "", "");
        inline(part, bold ?? bold2 ?? slant ?? slant2 ?? gone, depth + 1);
        box.append(part);
      }
    }
    box.append(level(text.slice(from)));
    return box;
  };
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
  const MARK = /^(\s{0,12})(?:([-*+])|(\d{1,9})[.)])\s+/;
  const STARTS = /^\s{0,3}(?:#{1,6}\s|>|```|~~~)|^\s{0,12}(?:[-*+]|\d{1,9}[.)])\s+\S/;
  const markdown = (box, text, depth = 0) => {
    const lines = text.split("\n");
    for (let at = 0; at < lines.length;) {
      const line = lines[at], fence = /^\s{0,12}(`{3,}|~{3,})\s{0,20}([\w+#.-]{0,30})\s{0,20}$/.exec(line), mark = MARK.exec(line);
      const heading = /^\s{0,3}(#{1,6})\s+(.+)$/.exec(line);
      if (fence) {
        let end = at + 1;
        while (end < lines.length && !lines[end].trim().startsWith(fence[1])) end += 1;
        const code = make("pre", "code", "");
        code.append(make("code", "", lines.slice(at + 1, end).join("\n")));
        if (fence[2]) code.dataset.language = fence[2];
        box.append(code);
        at = end + 1;
      } else if (heading) {
        box.append(inline(make("h4", "", ""), heading[2].replace(/\s#+$/, "")));
        at += 1;
      } else if (/^\s{0,3}([-*_])(?:\s*\1){2,}\s*$/.test(line)) {
        box.append(make("hr"));
        at += 1;
      } else if (/^\s{0,3}>/.test(line) && depth < 5) {
        const inner = [];
        while (at < lines.length && /^\s{0,3}>/.test(lines[at])) inner.push(lines[at++].replace(/^\s{0,3}>\s?/, ""));
        box.append(markdown(make("blockquote", "", ""), inner.join("\n"), depth + 1));
      } else if (mark && depth < 5) {
        const made = make(mark[2] ? "ul" : "ol", "", ""), deep = mark[1].length;
        if (mark[3]) made.start = Number(mark[3]);
        for (let own; at < lines.length && (own = MARK.exec(lines[at])) && own[1].length <= deep + 1 && !own[2] === !mark[2];) {
          const inner = [lines[at++].slice(own[0].length)];
          for (; at < lines.length; at += 1) {
            const indented = /^\s*/.exec(lines[at])[0].length;
            const goes = lines[at].trim() ? indented > deep + 1 : /^\s{2,}/.test(lines[at + 1] ?? "");
            if (!goes) break;
            inner.push(lines[at].slice(Math.min(indented, own[0].length)));
          }
          while (at < lines.length && !lines[at].trim() && MARK.test(lines[at + 1] ?? "")) at += 1;
          made.append(markdown(make("li", "", ""), inner.join("\n"), depth + 1));
        }
        box.append(made);
      } else if (line.includes("|") && /^\|?\s*:?-{2,}:?\s*(\|\s*:?-{2,}:?\s*)*\|?$/.test((lines[at + 1] ?? "").trim())) {
        const table = make("table", "", ""), wide = make("div", "wide", "");
        for (let row = at; row < lines.length && lines[row].includes("|"); row += 1) {
          if (row === at + 1) continue;
          const made = make("tr", "", "");
          made.append(...cells(lines[row]).map((cell) => inline(make(row === at ? "th" : "td", "", ""), cell)));
          table.append(made);
        }
        while (at < lines.length && lines[at].includes("|")) at += 1;
        wide.append(table);
        box.append(wide);
      } else if (!line.trim()) {
        at += 1;
      } else {
        const paragraph = make("p", "", "");
        const inner = [];
        do inner.push(lines[at++]); while (at < lines.length && lines[at].trim() && !STARTS.test(lines[at]));
        inner.forEach((part, place) => { if (place) paragraph.append(make("br")); inline(paragraph, part); });
        box.append(paragraph);
      }
    }
    return box;
  };
  const mark = (box, words) => {
    if (!words) return box;
    const walk = document.createTreeWalker(box, NodeFilter.SHOW_TEXT), nodes = [];
    while (walk.nextNode()) nodes.push(walk.currentNode);
    for (const node of nodes) {
      const text = node.data, low = text.toLowerCase();
      // Some letters grow in lower case, as İ does: places in the one are then no places in the other.
      if (low.length !== text.length || !low.includes(words)) continue;
      const parts = document.createDocumentFragment();
      let from = 0;
      for (let at = low.indexOf(words); at >= 0; at = low.indexOf(words, from)) {
        parts.append(text.slice(from, at), make("mark", "", text.slice(at, at + words.length)));
        from = at + words.length;
      }
      parts.append(text.slice(from));
      node.replaceWith(parts);
    }
    return box;
  };
  const shape = { raw: false, difference: false };
  const shownText = (text) => shape.raw ? mark(make("div", "text raw", text), words()) : mark(markdown(make("div", "text", ""), text), words());

  const different = (pieces) => {
    const box = make("div", "text raw", "");
    box.append(...pieces.map(([text, own]) => own ? make("b", "own", text) : level(text)));
    return box;
  };

  const said_of = (verdict) => verdict === "partial" ? "asked in one order" : verdict;
  const kept = (pair) => !pair.filter;
  const reason = (pair) => pair.filter ? `${pair.filter}: ${pair.reason || "?"}` : "";
  const values = {
    status: (pair) => [kept(pair) ? "kept" : "rejected"],
    iteration: (pair) => [String(pair.iteration ?? "")],
    feature: (pair) => [pair.feature || ""],
    verdict: (pair) => pair.verdicts.length ? pair.verdicts.map(said_of) : ["not judged"],
    reason: (pair) => [reason(pair)],
  };
  let haystacks = null;
  const read_all = async () => {
    if (haystacks) return;
    const found = [];
    for (let number = 0; number < blocks.length - 1; number += 1) {
      for (const pair of await block(number)) {
        const turns = (pair.prompt || []).map((turn) => turn.content);
        found.push([...turns, pair.chosen, pair.rejected, pair.original, pair.row, pair.pair_id].filter(Boolean).join("\n").toLowerCase());
      }
    }
    haystacks = found;
  };

  let shown = [], current = -1, items = [], first = 0, turn = 0;
  const words = () => search.value.trim().toLowerCase();
  const item = (place) => {
    const pair = index[shown[place]], made = make("li");
    made.setAttribute("role", "option");
    made.id = `pair-${shown[place]}`;
    made.append(make("b", "", pair.title || "(no prompt)"));
    const line = make("span");
    line.append(make("span", kept(pair) ? "state" : "state no", kept(pair) ? "kept" : pair.reason || "rejected"));
    line.append(...[pair.feature, pair.iteration ? `iteration ${pair.iteration}` : ""].filter(Boolean).map((t) => make("span", "", ` · ${t}`)));
    made.append(line);
    made.addEventListener("click", () => select(place, true));
    return made;
  };
  const page = (start) => {
    first = start;
    items = shown.slice(first, first + PAGE).map((_, at) => item(first + at));
    list.replaceChildren(...items);
    list.scrollTop = 0;
    pages.hidden = shown.length <= PAGE;
    older.disabled = first === 0;
    newer.disabled = first + PAGE >= shown.length;
    by("page").textContent = shown.length ? `${(first + 1).toLocaleString("en")} to ${Math.min(first + PAGE, shown.length).toLocaleString("en")}` : "";
  };
  const apply = async () => {
    // Unpacking takes time: what was asked meanwhile makes this answer out of date.
    const asked = words(), mine = ++turn;
    if (asked && !haystacks) { count.textContent = "reading all pairs …"; await read_all(); }
    if (mine !== turn) return;
    shown = index.map((_, place) => place).filter((place) =>
      filters.every((select) => !select.value || values[select.id.slice(2)](index[place]).includes(select.value)) &&
      (!asked || haystacks[place].includes(asked)));
    count.textContent = `${shown.length.toLocaleString("en")} of ${index.length.toLocaleString("en")} pairs`;
    page(0);
    await select(shown.length ? 0 : -1);
  };

  const narrow = matchMedia("(max-width: 46rem)");
  const select = async (place, asked = false) => {
    if (place >= 0 && (place < first || place >= first + PAGE)) page(place - place % PAGE);
    if (items[current - first]) items[current - first].setAttribute("aria-selected", "false");
    const before = current;
    current = place;
    back.disabled = place <= 0;
    next.disabled = place < 0 || place >= shown.length - 1;
    if (place < 0) { detail.replaceChildren(make("p", "soft", "No pair fits. Take a filter away.")); return; }
    const own = items[place - first];
    own.setAttribute("aria-selected", "true");
    list.setAttribute("aria-activedescendant", own.id);
    const top = own.offsetTop - list.offsetTop, over = top + own.offsetHeight - list.clientHeight;
    if (list.scrollTop < over || list.scrollTop > top) {
      list.scrollTop = Math.abs(place - before) > 1 ? (top + over) / 2 : Math.max(over, Math.min(top, list.scrollTop));
    }
    const pair = await whole(shown[place]);
    if (current !== place || pair !== await whole(shown[place])) return;
    detail.replaceChildren(...describe(pair));
    detail.scrollTop = 0;
    if (!asked) return;
    if (pair.pair_id) history.replaceState(null, "", `#${pair.pair_id}`);
    if (narrow.matches) detail.scrollIntoView({ block: "start" });
  };
  const again = async () => { if (current >= 0) detail.replaceChildren(...describe(await whole(shown[current]))); };

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
  const side = (pair, reply, label, system, text) => {
    const box = make("div", `side ${reply}`), full = pair[reply];
    box.append(make("h3", "", label));
    const cut = (pair.finish || {})[reply] === "length" ? "cut at the length limit" : "";
    const size = (pair.sizes || {})[reply], facts = [size ? `${size.toLocaleString("en")} characters` : "", cut, probability(pair, reply)].filter(Boolean);
    box.append(make("p", "meta", facts.join(" · ")));
    if (system !== undefined) box.append(fold("The principle it was asked to follow", typeof system === "number" ? systems[system] : system));
    box.append(full ? text || shownText(full) : make("p", "soft", "There is no such reply."));
    return box;
  };
  const toggle = (key, label) => {
    const made = make("button", "toggle", label);
    made.type = "button";
    made.setAttribute("aria-pressed", String(shape[key]));
    made.addEventListener("click", async () => {
      shape[key] = !shape[key];
      await again();
      const own = [...detail.querySelectorAll("button.toggle")].find((button) => button.textContent === label);
      if (own) own.focus();
    });
    return made;
  };
  const judged = (vote) => `${vote.judge}${vote.audit ? " (audit)" : ""}: ${said_of(vote.verdict)}`;
  const describe = (pair) => {
    const parts = [], tags = make("div", "tags");
    tags.append(make("span", kept(pair) ? "yes" : "no", kept(pair) ? "kept" : reason(pair) + (pair.detail ? ` (${pair.detail})` : "")));
    for (const text of [pair.feature, pair.iteration && `iteration ${pair.iteration}`, pair.source, pair.policy, pair.flags]) {
      if (text) tags.append(make("span", "", text));
    }
    for (const vote of pair.votes) tags.append(make("span", { right: "yes", wrong: "no" }[vote.verdict] || "", judged(vote)));
    parts.push(tags, make("h3", "", "Prompt"));
    for (const turn of pair.prompt || []) {
      const box = make("div", "turn");
      box.append(make("small", "", turn.role), shownText(turn.content));
      parts.push(box);
    }
    if (pair.row) parts.push(make("pre", "", pair.row));
    if (pair.chosen || pair.rejected) {
      const sides = make("div", "sides"), head = make("div", "head");
      const apart = shape.difference && pair.chosen && pair.rejected ? parted(pair.chosen, pair.rejected) : null;
      head.append(make("h3", "", "Replies"), toggle("difference", "Difference"), toggle("raw", "As written"));
      if (shape.difference && !apart && pair.chosen && pair.rejected) head.append(make("span", "soft small", "too long to be compared word by word"));
      sides.append(
        side(pair, "chosen", "Chosen", pair.system_good, apart && different(apart[0])),
        side(pair, "rejected", "Rejected", pair.system_bad, apart && different(apart[1])));
      parts.push(head, sides);
    }
    if (pair.original) {
      const more = make("div", "more");
      more.append(fold(`Without a principle${probability(pair, "original") ? ` · ${probability(pair, "original")}` : ""}`, pair.original));
      parts.push(more);
    }
    if (pair.votes.length) {
      const orders = (vote) => Object.entries(vote.votes).map(([order, to]) => `${order.replace("_", " ")}: ${to || "unreadable"}`);
      parts.push(fold("What the judges said", pair.votes.map((vote) => `${judged(vote)} — ${orders(vote).join(", ")}`).join("\n")));
    }
    if (pair.pair_id) {
      const link = make("a", "link", pair.pair_id);
      link.href = `#${encodeURIComponent(pair.pair_id)}`;
      link.title = "Link to this pair";
      const line = make("p", "meta", "");
      line.append(link);
      parts.push(line);
    }
    return parts;
  };

  // A link to a pair: its id, or the beginning of it, behind the address of the page.
  const ID = /^[0-9a-f]{8,64}$/;
  const follow = async () => {
    const wanted = location.hash.slice(1);
    if (!ID.test(wanted)) return;
    const at = index.findIndex((pair) => pair.pair_id && pair.pair_id.startsWith(wanted));
    if (at < 0) {
      detail.replaceChildren(make("p", "soft", `This page does not hold the pair ${wanted}; sso-factory trace RUN ${wanted} tells of it.`));
    } else {
      if (!shown.includes(at)) { clear(); await apply(); }
      await select(shown.indexOf(at));
    }
    by("reader").scrollIntoView();
  };
  const clear = () => { search.value = ""; for (const select of filters) select.value = ""; };

  const move = (by) => { const to = current + by; if (to >= 0 && to < shown.length) select(to, true); };
  let waiting = 0;
  search.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(apply, 120); });
  for (const select of filters) select.addEventListener("change", apply);
  back.addEventListener("click", () => move(-1));
  next.addEventListener("click", () => move(1));
  older.addEventListener("click", () => select(Math.max(0, first - PAGE), true));
  newer.addEventListener("click", () => select(first + PAGE, true));
  by("clear").addEventListener("click", () => { clear(); apply(); });
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
  addEventListener("hashchange", follow);
  if (typeof DecompressionStream === "undefined") {
    detail.replaceChildren(make("p", "soft", "The pairs lie in this file packed, which this browser is too old to read."));
    return;
  }
  unpack(blocks[0]).then(async (found) => {
    ({ pairs: index, size, systems } = found);
    await apply();
    await follow();
  });
})();
