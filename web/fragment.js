// Alertmanager's pages stand behind a #, which no server sees. Links to them, in people's templates and in other tools,
// lead to alertd's: the list of alerts is this page.
(() => {
  const go = () => {
    const link = /^#\/silences(\/new)?[^?]*(\?.*)?$/.exec(location.hash);
    if (link) location.replace("silences/" + (link[1] ? "new" + (link[2] || "") : ""));
  };
  addEventListener("hashchange", go);
  go();
})();
