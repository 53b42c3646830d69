// The page works without this script; with it, it is calmer.
(() => {
  // Alertmanager's pages stand behind a #, which no server sees. Links to them, in people's templates and in other tools,
  // lead to alertd's.
  const go = () => {
    const [, page, rest, query] = /^#\/(alerts|silences)([^?]*)(\?.*)?$/.exec(location.hash) || [];
    if (page === "alerts") location.replace("./" + (query || ""));
    if (page === "silences") location.replace("silences" + (rest.replace(/\/edit$/, "") || "/") + (query || ""));
  };
  addEventListener("hashchange", go);
  go();

  // What is unfolded stays so, and a time says in a hint what it is where the reader is.
  const settle = () => {
    const folds = [...document.querySelectorAll("details[id]")];
    const open = new Set((sessionStorage.getItem("open") || "").split(" "));
    for (const d of folds) {
      d.open ||= open.has(d.id);
      d.addEventListener("toggle", () => sessionStorage.setItem("open", folds.filter((d) => d.open).map((d) => d.id).join(" ")));
    }
    for (const t of document.querySelectorAll("time[datetime]")) t.title = new Date(t.dateTime).toLocaleString();
  };
  settle();

  // The new page takes the place of the old one under the reader's eyes: where they have scrolled and tabbed to stays.
  const name = (e) => e.id || e.getAttribute("href") || e.parentNode.id;
  const show = (html) => {
    const next = new DOMParser().parseFromString(html, "text/html");
    const [was, is] = [document, next].map((d) => d.querySelector("style")?.textContent);
    if (was !== is) return location.reload(); // another version, or somebody asks who reads this
    const focus = name(document.activeElement);
    document.title = next.title;
    document.querySelector("link[rel=icon]").href = next.querySelector("link[rel=icon]").href;
    document.body.replaceChildren(...next.body.childNodes);
    settle();
    if (focus) [...document.querySelectorAll("a, summary, input, button")].find((e) => name(e) === focus)?.focus({ preventScroll: true });
  };

  // The page asks again, but not while somebody types. Where no answer comes, it says so: a page on a wall must not go on to
  // say that all is quiet.
  const typing = () => {
    const field = document.getElementById("filter");
    return document.activeElement === field && field.value !== field.defaultValue;
  };
  const ask = async () => {
    if (typing()) return;
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      if (!answer.ok && answer.status !== 400) throw answer;
      show(await answer.text());
    } catch {
      document.title = "No answer · alertd";
      document.getElementById("gone").hidden = false;
    }
  };
  const every = Number(document.body.dataset.refresh) * 1000;
  if (every) setInterval(ask, every);
})();
