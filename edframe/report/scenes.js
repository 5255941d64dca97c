"use strict";
// Draws the chosen example: a scene for each panel, all seen from the same side.
(() => {
  const examples = JSON.parse(document.getElementById("isosurface-data").textContent);
  const choice = document.getElementById("isosurface-choice");
  const levels = document.getElementById("isosurface-level");
  const scenes = [...document.querySelectorAll(".scene .drawing")];
  const nowhere = { visible: false, showspikes: false };

  function coordinates(example) {
    const [nx, ny, nz] = example.shape;
    const all = [0, 1, 2].map(() => new Float32Array(nx * ny * nz));
    let at = 0;
    for (let i = 0; i < nx; i++) for (let j = 0; j < ny; j++) for (let k = 0; k < nz; k++, at++) {
      [i, j, k].forEach((index, axis) => { all[axis][at] = example.origin[axis] + index * example.step[axis]; });
    }
    return all;
  }

  // Of both signs: red above, blue below. Of one: a density.
  const colours = (heights) => heights.length > 1 ? ["#2f7fc1", "#d13b3b"] : ["#2b9c84", "#2b9c84"];

  function traces(example, index, level, [x, y, z]) {
    const atom = (axis) => example.atoms.map((place) => place[axis]);
    const stick = (axis) => example.bonds.flatMap(([a, b]) => [example.atoms[a][axis], example.atoms[b][axis], null]);
    const heights = example.heights[index][level], [below, above] = colours(heights);
    const low = Math.min(...heights), high = Math.max(...heights);
    return [
      { type: "isosurface", x, y, z, value: example.fields[index], isomin: low, isomax: high,
        surface: { count: heights.length }, caps: { x: { show: false }, y: { show: false }, z: { show: false } },
        colorscale: [[0, below], [1, above]], cmin: low - 1, cmax: high + 1, opacity: 0.5, flatshading: false,
        showscale: false, hoverinfo: "skip", lighting: { ambient: 0.6, diffuse: 0.6, specular: 0.2, roughness: 0.6 } },
      { type: "scatter3d", mode: "lines", x: stick(0), y: stick(1), z: stick(2), hoverinfo: "skip",
        line: { color: "#8a8f98", width: 7 } },
      { type: "scatter3d", mode: "markers", x: atom(0), y: atom(1), z: atom(2), text: example.species,
        hoverinfo: "text", marker: { color: example.colours, size: example.radii.map((radius) => 5 + 7 * radius),
                                     opacity: 1, line: { color: "#1c1f24", width: 1 } } },
    ];
  }

  function key(example) {
    const place = document.getElementById("isosurface-key");
    place.replaceChildren(...[...new Set(example.species)].map((symbol) => {
      const item = document.createElement("span"), ball = document.createElement("i");
      ball.style.background = example.colours[example.species.indexOf(symbol)];
      item.append(ball, symbol);
      return item;
    }));
  }

  let turning = false;
  function link(scene) {
    for (const event of ["plotly_relayout", "plotly_relayouting"]) scene.on(event, (change) => {
      const camera = change["scene.camera"];
      if (!camera || turning) return;
      turning = true;
      const others = scenes.filter((other) => other !== scene && other.linked && !other.parentElement.hidden);
      Promise.all(others.map((other) => Plotly.relayout(other, { "scene.camera": camera })))
        .finally(() => { turning = false; });
    });
    scene.linked = true;
  }

  function show() {
    const example = examples[choice ? choice.value : 0], level = levels ? Number(levels.value) : 0;
    key(example);
    const points = coordinates(example);
    document.getElementById("isosurface-caption").textContent = example.caption;
    // As large as the panel allows when turned: plotly would leave room for axes.
    const long = example.step.map((step, axis) => step * (example.shape[axis] - 1));
    const [x, y, z] = long.map((length) => 3.1 * length / Math.hypot(...long));
    const layout = { margin: { l: 0, r: 0, t: 0, b: 0 }, showlegend: false, uirevision: "kept",
      scene: { aspectmode: "manual", aspectratio: { x, y, z }, xaxis: nowhere, yaxis: nowhere, zaxis: nowhere, uirevision: "kept",
               camera: { projection: { type: "orthographic" }, up: { x: 0, y: 1, z: 0 },
                         eye: { x: 0.5, y: -0.7, z: 1.6 } } } };
    scenes.forEach((scene, index) => {
      const shown = index < example.variants.length;
      scene.parentElement.hidden = !shown;
      if (!shown) return;
      scene.parentElement.querySelector(".variant").textContent = example.variants[index];
      Plotly.react(scene, traces(example, index, level, points), structuredClone(layout),
                   { displaylogo: false, responsive: true, modeBarButtons: [["toImage", "resetCameraDefault3d"]] });
      if (!scene.linked) link(scene);
    });
  }

  show();
  for (const select of [choice, levels]) if (select) select.addEventListener("change", show);
})();
