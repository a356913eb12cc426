/* Says it in a browser that is too old for the page, whose own scripts do not begin then. Written for such browsers. */
(function () {
  var place = document.getElementById("page");
  /** @type {[string, boolean][]} */
  var needed = [
    ["JavaScript modules", "noModule" in document.createElement("script")],
    ["answers that are read as they come", "fetch" in window && "Response" in window && "body" in Response.prototype],
    ["dialogs", "HTMLDialogElement" in window && "showModal" in HTMLDialogElement.prototype],
    ["the JavaScript of 2022", "at" in Array.prototype && "replaceAll" in String.prototype]
  ];
  /** @type {string[]} */
  var lacks = [];
  needed.forEach(function (one) { if (!one[1]) lacks.push(one[0]); });
  if (lacks.length === 0 || !place) return;
  var main = document.createElement("main");
  var text = document.createElement("p");
  main.className = "plain";
  text.appendChild(document.createTextNode(
    "This browser is too old for the page of microclaw: it does not know " + lacks.join(", ") + ". " +
    "Use a browser of 2022 or later, or the command line: microclaw chat."
  ));
  main.appendChild(text);
  while (place.firstChild) place.removeChild(place.firstChild);
  place.appendChild(main);
  document.documentElement.setAttribute("data-too-old", "true");
})();
