"use strict";
// Draws the chosen example: a scene for each variant, all seen from the same side.
(() => {
  const examples = JSON.parse(document.getElementById("isosurface-data").textContent);
  const choice = document.getElementById("isosurface-choice");
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

  function traces(example, field, [x, y, z]) {
    const atom = (axis) => example.atoms.map((place) => place[axis]);
    const many = example.species.length > 24;
    return [
      { type: "isosurface", x, y, z, value: field, isomin: -example.level, isomax: example.level,
        surface: { count: 2 }, caps: { x: { show: false }, y: { show: false }, z: { show: false } },
        colorscale: [[0, "#2f7fc1"], [1, "#d13b3b"]], cmin: -example.level, cmax: example.level, opacity: 0.5,
        showscale: false, hoverinfo: "skip", lighting: { ambient: 0.75, diffuse: 0.5, specular: 0.1 } },
      { type: "scatter3d", mode: many ? "markers" : "markers+text", x: atom(0), y: atom(1), z: atom(2),
        text: example.species, textposition: "top center", hoverinfo: "text", showlegend: false,
        marker: { color: example.colours, size: example.radii.map((radius) => 5 + 7 * radius), opacity: 1,
                  line: { color: "#1c1f24", width: 1 } } },
    ];
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
    const example = examples[choice.value];
    const points = coordinates(example);
    document.getElementById("isosurface-caption").textContent = example.caption;
    // As large as the panel: plotly would leave room for axes.
    const long = example.step.map((step, axis) => step * (example.shape[axis] - 1));
    const [x, y, z] = long.map((length) => 2.2 * length / Math.max(...long));
    const layout = { margin: { l: 0, r: 0, t: 0, b: 0 }, showlegend: false, uirevision: "kept",
      scene: { aspectmode: "manual", aspectratio: { x, y, z }, xaxis: nowhere, yaxis: nowhere, zaxis: nowhere, uirevision: "kept",
               camera: { projection: { type: "orthographic" }, up: { x: 0, y: 1, z: 0 },
                         eye: { x: 0.5, y: -0.7, z: 1.6 } } } };
    scenes.forEach((scene, index) => {
      const shown = index < example.variants.length;
      scene.parentElement.hidden = !shown;
      if (!shown) return;
      scene.parentElement.querySelector(".variant").textContent = example.variants[index];
      Plotly.react(scene, traces(example, example.fields[index], points), structuredClone(layout),
                   { displaylogo: false, responsive: true, modeBarButtons: [["toImage", "resetCameraDefault3d"]] });
      if (!scene.linked) link(scene);
    });
  }

  show();
  choice.addEventListener("change", show);
})();
