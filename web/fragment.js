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

  // The page asks again, but not while somebody types.
  const field = document.getElementById("filter");
  const every = Number(document.body.dataset.refresh) * 1000;
  const typing = () => document.activeElement === field && field.value !== field.defaultValue;
  if (every) setInterval(() => typing() || location.reload(), every);

  // What is unfolded stays so.
  const folds = [...document.querySelectorAll("details[id]")];
  const open = new Set((sessionStorage.getItem("open") || "").split(" "));
  for (const d of folds) {
    d.open ||= open.has(d.id);
    d.addEventListener("toggle", () => sessionStorage.setItem("open", folds.filter((d) => d.open).map((d) => d.id).join(" ")));
  }
})();
