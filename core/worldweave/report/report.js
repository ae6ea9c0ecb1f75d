// The charts follow the clock of the clips.
const cursors = [...document.querySelectorAll(".cursor")];
const readings = [...document.querySelectorAll("output[data-means]")].map((output) => ({
  output,
  means: JSON.parse(output.dataset.means),
}));

function mark(frame) {
  for (const cursor of cursors) cursor.setAttribute("d", `M${frame + 0.5} 0V1`);
  for (const { output, means } of readings) {
    const now = means[Math.min(frame, means.length - 1)];
    output.value = now === null ? "–" : now.toFixed(2);
  }
}

document.addEventListener("frame", (event) => mark(event.detail));
mark(frame);
