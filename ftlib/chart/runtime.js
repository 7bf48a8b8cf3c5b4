// Draws charts in whatever page they land in. Loaded once a page; every chart
// brings it, the first one counts.
(function () {
  "use strict";
  if (window.ftlabChart) return;
  var charts = {}; // id -> {el, chart, spec}
  var library;     // promise of ECharts

  // ECharts arrives as base64 of gzip. It is run with its own exports object, so that
  // neither a module loader of the page nor another ECharts gets in the way.
  function load(packed) {
    if (library) return library;
    if (!packed) return Promise.reject(new Error("chart without its library"));
    library = Promise.resolve().then(function () {
      var raw = atob(packed), bytes = new Uint8Array(raw.length);
      for (var i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
      return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
    }).then(function (source) {
      window.ftlabECharts = {};
      var s = document.createElement("script");
      s.textContent = "(function(exports,module,define){" + source + "\n})(window.ftlabECharts,{},undefined);";
      document.head.appendChild(s);
      s.remove();
      if (!window.ftlabECharts.init) throw new Error("ECharts did not start");
      return window.ftlabECharts;
    });
    library.catch(function () { library = undefined; });
    return library;
  }

  // The colour of text in the place where the chart stands tells whether it is light
  // or dark there, in every front end.
  function look(el) {
    var css = getComputedStyle(el.parentElement || el);
    var c = (css.color.match(/[\d.]+/g) || [0, 0, 0]).slice(0, 3).map(Number);
    var dark = 0.299 * c[0] + 0.587 * c[1] + 0.114 * c[2] > 128;
    function ink(a) { return "rgba(" + c.join(",") + "," + a + ")"; }
    return { dark: dark, ink: ink, font: css.fontFamily };
  }

  function digits(v) {
    if (v === 0) return "0";
    var a = Math.abs(v);
    if (a < 1e-2 || a >= 1e6) return v.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e");
    return String(+v.toPrecision(4));
  }
  function write(v, unit) {
    return unit === "share" ? (100 * v).toFixed(1) + " %" : digits(v);
  }
  function escape(s) {
    return String(s).replace(/[&<>"]/g, function (c) {
      return { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" }[c];
    });
  }
  // The point of a series nearest to x, or nothing where the series has not begun or has ended.
  function nearest(data, x) {
    if (!data.length || x < data[0][0] || x > data[data.length - 1][0]) return null;
    var a = 0, b = data.length - 1;
    while (b - a > 1) { var m = (a + b) >> 1; if (data[m][0] <= x) a = m; else b = m; }
    return Math.abs(data[a][0] - x) <= Math.abs(data[b][0] - x) ? data[a] : data[b];
  }

  function tip(c, x) {
    var unit = c.spec.units, lines = ["<b>" + escape(c.spec.x) + " " + digits(x) + "</b>"];
    c.option.series.forEach(function (s) {
      var p = nearest(s.data, x);
      if (!p) return;
      var u = unit[s.yAxisIndex || 0], more = "";
      if (u === "nats" && p[1] < 50) more = " <span style='opacity:.65'>right token " + (100 * Math.exp(-p[1])).toPrecision(2) + " %</span>";
      if (Math.abs(p[0] - x) > 1) more += " <span style='opacity:.65'>(" + escape(c.spec.x) + " " + digits(p[0]) + ")</span>";
      lines.push("<span style='color:" + s.color + "'>●</span> " + escape(s.name) + " <b>" + write(p[1], u) + "</b>" + more);
    });
    return lines.join("<br>");
  }

  // Everything that depends on the page is added here, so that the option that
  // comes from Go stays plain data.
  function dress(c) {
    var l = look(c.el), o = JSON.parse(JSON.stringify(c.option)), text = { color: l.ink(0.87), fontFamily: l.font };
    o.textStyle = text;
    Object.assign(o.title, { textStyle: Object.assign({}, o.title.textStyle, text), subtextStyle: Object.assign({}, o.title.subtextStyle, { color: l.ink(0.6) }) });
    Object.assign(o.legend, { textStyle: text, inactiveColor: l.ink(0.3), pageTextStyle: text, tooltip: {
      show: true, confine: true, formatter: function (p) { return escape(c.spec.help[p.name] || p.name); },
      extraCssText: "max-width:320px;white-space:normal" } });
    [].concat(o.xAxis, o.yAxis).forEach(function (a, i) {
      a.axisLine = { lineStyle: { color: l.ink(0.4) } };
      a.axisLabel = Object.assign({}, a.axisLabel, { color: l.ink(0.7), lineHeight: 15 });
      a.nameTextStyle = { color: l.ink(0.6) };
      a.splitLine = Object.assign({}, a.splitLine, { lineStyle: { color: l.ink(0.12) } });
    });
    o.yAxis.forEach(function (a, i) { a.axisLabel.formatter = function (v) { return c.spec.units[i] === "share" ? Math.round(100 * v) + " %" : digits(v); }; });
    Object.assign(o.tooltip, { confine: true, backgroundColor: l.dark ? "#2b3038" : "#ffffff", borderColor: l.ink(0.2), textStyle: { color: l.dark ? "#e6e8eb" : "#22272e", fontSize: 12 } });
    if (o.tooltip.trigger === "axis") {
      o.tooltip.axisPointer = { type: "line", lineStyle: { color: l.ink(0.35) } };
      o.tooltip.formatter = function (p) { return tip(c, (Array.isArray(p) ? p[0] : p).axisValue); };
    } else if (c.spec.named) {
      o.tooltip.formatter = function (p) { return "<b>" + escape(p.name || p.seriesName) + "</b>"; };
    } else {
      o.tooltip.formatter = function (p) { return escape(p.name) + "<br>" + escape(p.seriesName) + " <b>" + write(p.value, c.spec.units[0]) + "</b>"; };
      o.series.forEach(function (s) { s.label = Object.assign({}, s.label, { color: l.ink(0.87), formatter: function (p) { return write(p.value, c.spec.units[0]); } }); });
    }
    if (o.toolbox) o.toolbox.iconStyle = { borderColor: l.ink(0.45) };
    o.backgroundColor = "transparent";
    return o;
  }

  // A picture that is saved from the chart needs a ground of its own.
  function ground(el) {
    return look(el).dark ? "#1f2329" : "#ffffff";
  }

  function paint(c) {
    var o = dress(c);
    if (o.toolbox && o.toolbox.feature.saveAsImage) o.toolbox.feature.saveAsImage.backgroundColor = ground(c.el);
    c.chart.setOption(o, { notMerge: false, replaceMerge: ["series", "yAxis"] });
  }

  function draw(id, spec, packed) {
    var el = document.getElementById(id);
    if (!el) return;
    load(packed).then(function (echarts) {
      function begin() {
        if (!el.clientWidth || charts[id] && charts[id].el === el) return;
        el.textContent = "";
        el.style.height = spec.height + "px";
        var c = charts[id] = { el: el, spec: spec, option: spec.option, chart: echarts.init(el) };
        paint(c);
      }
      begin();
      // Drawn when it is first seen (a collapsed cell has no width), redrawn when the cell changes its width.
      new ResizeObserver(function () {
        if (charts[id] && charts[id].el === el) charts[id].chart.resize(); else begin();
      }).observe(el);
      el.dispatchEvent(new CustomEvent("ftlab-chart", { bubbles: true }));
    }).catch(function (e) { console.warn("ftlab chart:", e); }); // the static picture stays
  }

  // New data for a chart that is there.
  function update(id, option) {
    var c = charts[id];
    if (!c || !c.el.isConnected) return;
    c.option = option;
    paint(c);
  }

  function repaint() {
    Object.keys(charts).forEach(function (id) {
      if (charts[id].el.isConnected) paint(charts[id]);
      else { charts[id].chart.dispose(); delete charts[id]; }
    });
  }
  // The theme of the page may change: JupyterLab and VS Code mark it on body, a plain page follows the system.
  new MutationObserver(function () { setTimeout(repaint, 200); }).observe(document.body, { attributes: true, attributeFilter: ["class", "data-jp-theme-light", "data-jp-theme-name"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);

  window.ftlabChart = { draw: draw, update: update, charts: charts };
})();
