/* Sets the colours before the first paint: what the person chose here, else the system's. No module, so that it runs at once. */
(function () {
  var kept = null;
  try {
    kept = localStorage.getItem("microclaw.theme");
  } catch (error) {
    kept = null; // storage is off in this browser: the system's colours
  }
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
})();
