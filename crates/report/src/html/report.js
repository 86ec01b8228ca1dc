// What the report does beyond HTML: copy, filter, name regions, open what a link leads to. No network.
(function () {
  "use strict";
  var d = document, root = d.documentElement;
  root.classList.add("js");

  function copy(text, button) {
    function done() {
      button.textContent = "Copied";
      setTimeout(function () { button.textContent = "Copy"; }, 1500);
    }
    function fallback() {
      var area = d.createElement("textarea");
      area.value = text;
      area.setAttribute("readonly", "");
      area.className = "vh";
      d.body.appendChild(area);
      area.select();
      if (d.execCommand("copy")) done();
      area.remove();
      button.focus();
    }
    if (navigator.clipboard && window.isSecureContext) {
      navigator.clipboard.writeText(text).then(done, fallback);
    } else {
      fallback();
    }
  }
  d.addEventListener("click", function (e) {
    var b = e.target.closest && e.target.closest(".copy");
    if (b) copy(b.previousElementSibling.textContent, b);
  });

  // A link into a closed section opens it.
  function reveal() {
    var target = location.hash && d.getElementById(location.hash.slice(1));
    for (var n = target; n; n = n.parentElement) if (n.tagName === "DETAILS") n.open = true;
    if (target) target.scrollIntoView();
  }
  addEventListener("hashchange", reveal);
  if (location.hash) reveal();

  // Paper has no folds.
  var closed = [];
  addEventListener("beforeprint", function () {
    closed = Array.prototype.slice.call(d.querySelectorAll("details:not([open]):not(.more)"));
    closed.forEach(function (x) { x.open = true; });
  });
  addEventListener("afterprint", function () {
    closed.forEach(function (x) { x.open = false; });
  });

  // Filter of the findings.
  var tools = d.querySelector(".tools"), filter = d.getElementById("filter");
  if (tools && filter) {
    tools.hidden = false;
    var shown = d.getElementById("shown"), expand = d.getElementById("expand");
    var requirements = Array.prototype.slice.call(d.querySelectorAll("#findings .req"));
    function label() {
      var any = requirements.some(function (r) { return !r.open; });
      expand.textContent = any ? "Expand all" : "Collapse all";
    }
    filter.addEventListener("input", function () {
      var word = filter.value.trim().toLowerCase(), n = 0;
      requirements.forEach(function (r) {
        var head = r.querySelector("summary").textContent.toLowerCase().indexOf(word) >= 0, hit = 0;
        r.querySelectorAll(".finding").forEach(function (f) {
          var on = head || f.textContent.toLowerCase().indexOf(word) >= 0;
          f.hidden = !on;
          if (on) hit++;
        });
        r.hidden = word !== "" && !head && hit === 0;
        if (word && hit) r.open = true;
        n += r.hidden ? 0 : hit;
      });
      d.querySelectorAll("#findings .group").forEach(function (g) {
        g.hidden = word !== "" && !g.querySelector(".req:not([hidden])");
      });
      shown.textContent = word ? n + (n === 1 ? " finding" : " findings") : "";
      label();
    });
    expand.addEventListener("click", function () {
      var open = expand.textContent === "Expand all";
      requirements.forEach(function (r) { r.open = open; });
      label();
    });
    requirements.forEach(function (r) { r.addEventListener("toggle", label); });
    label();
  }

  // The map: name the region under the pointer or the focus; arrow keys walk through it.
  var map = d.querySelector(".map"), named = d.getElementById("named");
  if (map && named) {
    var pieces = Array.prototype.slice.call(map.querySelectorAll(".piece")), at = 0;
    pieces.forEach(function (p, i) { p.setAttribute("tabindex", i ? "-1" : "0"); });
    function name(p) {
      pieces[at].classList.remove("on");
      at = pieces.indexOf(p);
      p.classList.add("on");
      named.textContent = "";
      var b = d.createElement("b"), box = d.createElement("div"), code = d.createElement("code"),
        button = d.createElement("button");
      b.textContent = p.getAttribute("aria-label");
      box.className = "show";
      code.textContent = p.getAttribute("data-show");
      button.type = "button";
      button.className = "copy";
      button.textContent = "Copy";
      box.append(code, button);
      named.append(b, box);
    }
    map.addEventListener("pointerover", function (e) {
      var p = e.target.closest(".piece");
      if (p) name(p);
    });
    map.addEventListener("focusin", function (e) {
      var p = e.target.closest(".piece");
      if (p) name(p);
    });
    map.addEventListener("click", function (e) {
      // A first tap names, the link in the table shows; a mouse has named already and may follow.
      var p = e.target.closest(".piece");
      if (p && e.pointerType === "touch") { e.preventDefault(); name(p); }
    });
    map.addEventListener("keydown", function (e) {
      var step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[e.key];
      if (!step) return;
      e.preventDefault();
      var next = pieces[at + step];
      if (next) {
        pieces[at].setAttribute("tabindex", "-1");
        next.setAttribute("tabindex", "0");
        next.focus();
      }
    });
  }
})();
