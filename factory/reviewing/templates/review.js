"use strict";
(() => {
  const root = document.documentElement;
  const by = (id) => document.getElementById(id);
  const theme = by("theme");
  const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const name = () => { theme.textContent = dark() ? "Light" : "Dark"; };
  theme.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; name(); });
  name();

  const make = (tag, cls, text) => {
    const made = document.createElement(tag);
    if (cls) made.className = cls;
    if (text !== undefined && text !== null) made.textContent = String(text);
    return made;
  };
  const button = (key) => document.querySelector(`[data-key="${key}"]`);
  const pressed = (key) => button(key).getAttribute("aria-pressed") === "true";
  const press = (key, on) => button(key).setAttribute("aria-pressed", String(on));
  const trouble = (text) => { by("trouble").textContent = text; by("trouble").hidden = !text; };

  const UNSEEN = 400;  // milliseconds in which nobody has read a pair
  let now = null, busy = false, since = 0;

  const ask = async (path, body) => {
    const options = body === undefined ? {} :
      { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
    const answer = await fetch(path, options);
    if (!answer.ok && answer.status !== 409) throw new Error(`the server said ${answer.status}`);
    return answer.json();
  };

  // The markup comes from the server, which lets neither raw HTML nor images nor links through; the page's policy does
  // not either.
  const fill = (box, text, cls) => {
    box.className = cls;
    if (pressed("p")) { box.classList.add("plain"); box.textContent = text.text; } else box.innerHTML = text.html;
    if (text.length > text.text.length) {
      box.append(make("p", "soft", `… ${text.length.toLocaleString("en")} characters in all, cut here`));
    }
  };
  const texts = () => {
    const prompt = by("prompt");
    prompt.replaceChildren(...now.pair.prompt.map((turn) => {
      const box = make("div", "turn"), body = make("div");
      fill(body, turn, "body");
      box.append(make("small", "", turn.role), body);
      return box;
    }));
    for (const side of ["left", "right"]) fill(by(side), now.pair[side], "reply");
  };
  const differ = () => {
    const pieces = parted(now.pair.left.text, now.pair.right.text);
    if (!pieces) { texts(); return "These two are too long to be compared word by word."; }
    ["left", "right"].forEach((side, at) => {
      by(side).className = "reply plain";
      by(side).replaceChildren(...pieces[at].map(([text, own]) => own ? make("mark", "", text) : text));
    });
    return "";
  };

  const fold = (label, text) => {
    const box = make("details");
    box.append(make("summary", "", label), make("pre", "", text));
    return box;
  };
  const words = { left: "left is better", right: "right is better", tie: "a tie", skip: "skipped" };
  const tell = (last) => {
    const box = by("last");
    box.hidden = !last;
    if (!last) return;
    const line = make("div");
    line.append("The pair before: you said ", make("b", "", words[last.answer]), ".");
    if (last.chosen) line.append(" Called chosen: ", make("b", "", last.chosen), ".");
    // Names from data keep their own direction.
    for (const said of last.verdicts || []) line.append(" ", make("bdi", "", said), ".");
    const facts = last.facts || {};
    for (const key of ["feature", "policy", "iteration", "source"].filter((key) => facts[key] !== undefined)) {
      line.append(` ${key} `, make("bdi", "", facts[key]), ".");
    }
    box.replaceChildren(line);
    if (facts.system_good) box.append(fold("Principle of the chosen reply", facts.system_good));
    if (facts.system_bad) box.append(fold("Principle of the rejected reply", facts.system_bad));
  };

  const show = (state) => {
    now = state;
    press("d", false);
    by("who").textContent = state.annotator;
    by("progress").max = state.total;
    by("progress").value = state.turn;
    by("count").textContent = `${state.turn} of ${state.total}`;
    by("pair").hidden = !state.pair;
    by("end").hidden = !!state.pair;
    for (const key of ["1", "2", "t", "s", "d", "p"]) button(key).disabled = !state.pair;
    button("u").disabled = !state.last;
    tell(state.last);
    if (state.pair) { texts(); scrollTo(0, 0); }
    since = performance.now();
  };

  const act = async (key) => {
    if (busy || !now || button(key).disabled) return;
    // A key pressed twice in one go: the second time is no answer to a pair that nobody has seen.
    if ("12ts".includes(key) && performance.now() - since < UNSEEN) return;
    busy = true;
    try {
      if (key === "d" || key === "p") {
        const on = !pressed(key);
        press("d", key === "d" && on);
        if (key === "p") press("p", on);
        trouble(pressed("d") ? differ() : texts());
        return;
      }
      show(await ask("answer", { turn: now.turn, answer: key }));
      trouble(now.stale ? "That was not kept: another window has gone on, and this is the pair that is next." : "");
    } catch (error) {
      trouble(`That was not kept: ${error.message}. Is the command still running?`);
    } finally { busy = false; }
  };
  const finish = async () => {
    try {
      await ask("finish", {});
      by("end").replaceChildren(make("h1", "", "Finished."), make("p", "", "You may close this page."));
    } catch (error) { trouble(`The command cannot be reached: ${error.message}`); }
  };

  for (const each of document.querySelectorAll("[data-key]")) {
    each.addEventListener("click", () => { each.blur(); act(each.dataset.key); });
  }
  by("finish").addEventListener("click", finish);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (button(event.key.toLowerCase().replace(/[^12tsudp]/g, "-"))) { event.preventDefault(); act(event.key.toLowerCase()); }
  });
  ask("state").then(show).catch((error) => trouble(`The pairs cannot be read: ${error.message}`));
})();
