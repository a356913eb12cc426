/* Runs only in a browser that knows no JavaScript modules: it says so. Written for such browsers. */
(function () {
  var place = document.getElementById("page");
  var main = document.createElement("main");
  var text = document.createElement("p");
  main.className = "plain";
  text.appendChild(document.createTextNode(
    "This browser is too old for the page of microclaw: it does not know JavaScript modules. " +
    "Use a browser of 2022 or later, or the command line: microclaw chat."
  ));
  main.appendChild(text);
  if (place) place.appendChild(main);
})();
