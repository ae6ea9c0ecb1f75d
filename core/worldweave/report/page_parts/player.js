"use strict";
// One clock for all clips: it ticks on only when every clip in view shows its
// frame, so a slow machine plays slower but never out of step.
const clips = [...document.querySelectorAll("video")].map((video) => ({
  video,
  frames: Number(video.dataset.frames),
  fps: Number(video.dataset.fps),
  inView: false,
  shown: -1,
}));
const one = (id) => document.getElementById(id);
const [play, slider, count, speed] = ["play", "frame", "count", "speed"].map(one);
const length = Math.max(1, ...clips.map((clip) => clip.frames));
const fps = Math.max(1, ...clips.map((clip) => clip.fps));
let frame = 0;
let playing = false;
let run = 0;

function seek(clip) {
  const wanted = frame % clip.frames;
  // A clip that cannot be decoded must not stop the others.
  if (clip.shown === wanted || clip.video.error) return null;
  clip.shown = wanted;
  return new Promise((done) => {
    const late = setTimeout(done, 2000);
    clip.video.addEventListener("seeked", () => {
      clip.video.dataset.shown = Math.floor(clip.video.currentTime * clip.fps);
      clearTimeout(late);
      done();
    }, { once: true });
    clip.video.currentTime = (wanted + 0.5) / clip.fps;
  });
}

async function show(wanted) {
  frame = ((wanted % length) + length) % length;
  slider.value = frame;
  count.value = `${frame + 1} of ${length}`;
  document.dispatchEvent(new CustomEvent("frame", { detail: frame }));
  await Promise.all(clips.filter((clip) => clip.inView).map(seek));
}

async function tick(mine) {
  let due = performance.now();
  while (playing && mine === run) {
    await show(frame + 1);
    due = Math.max(due + 1000 / (fps * Number(speed.value)), performance.now());
    await new Promise((done) => setTimeout(done, due - performance.now()));
    await new Promise(requestAnimationFrame);
  }
}

function setPlaying(wanted) {
  playing = wanted;
  play.textContent = playing ? "Pause" : "Play";
  run += 1;
  if (playing) tick(run);
}

function step(by) {
  setPlaying(false);
  show(frame + by);
}

play.addEventListener("click", () => setPlaying(!playing));
one("back").addEventListener("click", () => step(-1));
one("forth").addEventListener("click", () => step(1));
slider.max = length - 1;
slider.addEventListener("input", () => { setPlaying(false); show(Number(slider.value)); });
const keys = {
  " ": () => setPlaying(!playing),
  ArrowLeft: () => step(-1),
  ArrowRight: () => step(1),
  Home: () => step(-frame),
  End: () => step(length - 1 - frame),
};
document.addEventListener("keydown", (event) => {
  const busy = event.target.closest("button, select, input, code, [tabindex]");
  if (busy || event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
  event.preventDefault();
  keys[event.key]();
});

const watcher = new IntersectionObserver((seen) => {
  for (const each of seen) {
    const clip = clips.find((one) => one.video === each.target);
    clip.inView = each.isIntersecting;
  }
  if (!playing) show(frame);
}, { rootMargin: "200px" });
for (const clip of clips) watcher.observe(clip.video);
show(0);
setPlaying(length > 1 && !matchMedia("(prefers-reduced-motion: reduce)").matches);
