/* Sets what counts before the first paint: the colours that the person chose here, else the system's, and that scripts run. No module, so that it runs at once. */
(function () {
  document.documentElement.className = "scripts";
  var kept = null;
  try {
    kept = localStorage.getItem("microclaw.theme");
  } catch (error) {
    kept = null; // storage is off in this browser: the system's colours
  }
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
})();
