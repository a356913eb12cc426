/* Sets what counts before the first paint: the colours that the person chose here, else the system's, that scripts run, and that a
   browser is too old for the page. No module, so that it runs at once, and written for such browsers. */
(function () {
  var hasDialogs = "HTMLDialogElement" in window && "showModal" in HTMLDialogElement.prototype;
  document.documentElement.className = hasDialogs && "at" in Array.prototype ? "scripts" : "scripts old";
  var kept = null;
  try {
    kept = localStorage.getItem("microclaw.theme");
  } catch (error) {
    kept = null; // storage is off in this browser: the system's colours
  }
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
})();
