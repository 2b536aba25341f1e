"use strict";
// The page of `transpose serve`: sends photos, and shows where they were taken. All text is set as text, never as HTML.

const $ = (id) => document.getElementById(id);
const KEPT = 12; // photos that are listed
const PAUSE_MS = 1500; // between two looks through the camera
const POORLY_KNOWN = 0.04; // standard deviation of a focal length, relative, from which on it decides how exact a pose is
const LARGEST_PX = 2000; // photos are sent no larger; smaller ones as they are, with their EXIF
const WHY = {
  no_consensus: "Too little of it agrees with the model on one position.",
  too_few_points: "It shows too few points that can be recognized.",
  low_score: "Something was found, but it is too unsure to be told.",
  degenerate: "What is recognized does not fix a position.",
  ambiguous: "It may have been taken at several places that look alike.",
};
let runs = [];
let before = [];
let key = sessionStorage.getItem("key") || "";
let stream = null;
let asked = 0;
let shown = 0;

async function ask(path, options = {}) {
  for (;;) {
    const headers = key ? { "X-API-Key": key } : {};
    const response = await fetch(path, { ...options, headers });
    if (response.status === 401) {
      await askForKey();
      continue;
    }
    if (response.status === 429) {
      await new Promise((done) => setTimeout(done, 1000 * (Number(response.headers.get("Retry-After")) || 2)));
      continue;
    }
    if (!response.ok) {
      const said = await response.json().catch(() => ({}));
      throw new Error(typeof said.detail === "string" ? said.detail : `the service answered ${response.status}`);
    }
    return response;
  }
}

function askForKey() {
  const dialog = $("asking");
  if (dialog.open) return new Promise((done) => dialog.addEventListener("close", done, { once: true }));
  return new Promise((done) => {
    dialog.addEventListener("close", () => {
      key = $("key").value;
      sessionStorage.setItem("key", key);
      done();
    }, { once: true });
    dialog.showModal();
  });
}

async function sendable(file) {
  // HEIC and the like are shown by few browsers: those are sent as they are, and the service says what to do.
  const picture = await createImageBitmap(file).catch(() => null);
  return { file, name: file.name || "photo.jpg", tooLarge: picture !== null && file.size > 25e6, picture };
}

function shareOf(sent) {
  return sent.tooLarge ? Math.min(1, LARGEST_PX / Math.max(sent.picture.width, sent.picture.height)) : 1;
}

async function shrunk(sent) {
  const share = shareOf(sent);
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(share * sent.picture.width);
  canvas.height = Math.round(share * sent.picture.height);
  canvas.getContext("2d").drawImage(sent.picture, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
}

async function localize(file) {
  const number = ++asked;
  const sent = await sendable(file);
  const form = new FormData();
  form.append("image", sent.tooLarge ? await shrunk(sent) : sent.file, sent.name);
  const focal = $("auto").checked ? "auto" : $("focal").value.trim(); // in pixels of the photo as it is
  if (focal) form.append("focal", Number(focal) > 0 ? String(shareOf(sent) * Number(focal)) : focal);
  if ($("run").value) form.append("run", $("run").value);
  document.body.setAttribute("aria-busy", "true");
  let answer;
  try {
    answer = await (await ask("localize", { method: "POST", body: form })).json();
  } catch (error) {
    answer = { image: sent.name, pose: null, reason: "error", error: error.message, others: [] };
  }
  const entry = { answer, photo: URL.createObjectURL(sent.file), model: null };
  if (answer.view) {
    entry.model = ask(`views/${answer.view}`).then((r) => r.blob()).then((b) => URL.createObjectURL(b)).catch(() => null);
  }
  remember(entry);
  if (number > shown) {
    shown = number;
    await show(entry);
  }
  document.body.removeAttribute("aria-busy");
}

function remember(entry) {
  before.unshift(entry);
  for (const old of before.splice(KEPT)) URL.revokeObjectURL(old.photo);
  const list = $("list");
  list.replaceChildren(...before.map((each) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    const image = document.createElement("img");
    image.src = each.photo;
    image.alt = "";
    const text = document.createElement("span");
    text.textContent = `${each.answer.image}: ${verdict(each.answer)}`;
    button.append(image, text);
    button.addEventListener("click", () => show(each));
    item.append(button);
    return item;
  }));
  $("before").hidden = before.length < 2;
}

function unit(of) { // of an answer, or of a run
  return (of.unit ?? "metre") === "metre" ? "m" : "units";
}

function verdict(answer) {
  if (answer.error) return answer.error;
  if (!answer.pose) return WHY[answer.reason] ? `Not placed. ${WHY[answer.reason]}` : `Not placed (${answer.reason}).`;
  const at = answer.pose.slice(0, 3).map((row) => row[3].toFixed(2)).join(", ");
  return `Taken at ${at} ${unit(answer)}`;
}

async function show(entry) {
  const { answer } = entry;
  $("answer").hidden = false;
  $("verdict").textContent = verdict(answer);
  $("verdict").className = answer.pose ? "good" : "bad";
  $("taken").src = entry.photo;
  $("raw").textContent = JSON.stringify(answer, null, 1);
  listFacts(answer);
  $("model").hidden = $("blending").hidden = true;
  await showMap(answer);
  const url = entry.model ? await entry.model : null;
  if (url && $("taken").src === entry.photo) {
    $("model").src = url;
    $("model").hidden = $("blending").hidden = false;
    blend();
  }
}

function listFacts(answer) {
  const facts = [];
  if (answer.run && runs.length > 1) facts.push(["place", answer.run]);
  if (typeof answer.confidence === "number" && (answer.pose || answer.confidence > 0)) {
    const name = answer.pose ? "right with a probability of" : "what was found is right with";
    facts.push([name, `${(100 * answer.confidence).toFixed(1)} %`]);
  }
  const spread = answer.covariance && Math.sqrt(answer.covariance[3][3] + answer.covariance[4][4] + answer.covariance[5][5]);
  if (spread) facts.push(["position good to", `${spread.toPrecision(2)} ${unit(answer)} (one standard deviation)`]);
  if (answer.inliers) facts.push(["points that agree", String(answer.inliers)]);
  if (answer.camera && (answer.pose || answer.camera.source !== "estimated")) {
    const how = { option: "given", exif: "by EXIF", training: "as of the training images", estimated: "estimated" };
    const from = how[answer.camera.source] || answer.camera.source;
    const off = answer.pose && answer.camera.focal_sigma >= 0.01 ? `, good to ${(100 * answer.camera.focal_sigma).toFixed(0)} %` : "";
    facts.push(["focal length", `${answer.camera.fx.toFixed(0)} px, ${from}${off}`]);
    if (answer.pose && answer.camera.focal_sigma >= POORLY_KNOWN) {
      facts.push(["more exact", "with its focal length: say it under “What is known of the camera”"]);
    }
  }
  if (!answer.pose && answer.camera && answer.camera.source === "estimated") {
    facts.push(["may help", "its focal length, which nobody knows: say it under “What is known of the camera”"]);
  }
  for (const [i, each] of (answer.alternatives || []).entries()) {
    const at = each.pose.slice(0, 3).map((row) => row[3].toFixed(2)).join(", ");
    facts.push([`or, ${i + 1}`, `${at} ${unit(answer)}, with ${(100 * each.weight).toFixed(0)} %`]);
  }
  if (answer.seconds) facts.push(["took", `${answer.seconds.toFixed(2)} s`]);
  $("facts").replaceChildren(...facts.flatMap(([name, value]) => {
    const dt = document.createElement("dt");
    const dd = document.createElement("dd");
    dt.textContent = name;
    dd.textContent = value;
    return [dt, dd];
  }));
}

const known = new Map(); // of each version of a run that was served since the page was opened

async function learnRuns() {
  runs = await (await ask("runs")).json();
  for (const run of runs) if (!known.has(`${run.name} ${run.version}`)) known.set(`${run.name} ${run.version}`, { run });
}

function mapOf(place) {
  place.picture ??= ask(`runs/${encodeURIComponent(place.run.name)}/map`).then((r) => r.blob()).then((b) => URL.createObjectURL(b)).catch(() => {
    place.picture = undefined; // asked for again with the next photo
    return null;
  });
  return place.picture;
}

async function showMap(answer) {
  $("place").hidden = true;
  if (!answer.on_map) return;
  const which = `${answer.run} ${answer.run_version}`;
  if (!known.has(which)) await learnRuns().catch(() => null); // the run was replaced
  const place = known.get(which);
  if (!place || !place.run.map) return;
  const { run } = place;
  const picture = await mapOf(place);
  $("place").hidden = !picture;
  if (!picture) return;
  $("map").src = picture;
  const tall = run.map.height / run.map.width;
  const { x, y, heading_deg: heading, ellipse } = answer.on_map;
  const marks = $("marks");
  // The map is as wide as 1; what is drawn is wider where the camera or its ellipse would lie outside, as of a view from afar.
  const room = Math.min(Math.max(ellipse ? ellipse.major : 0, 0.1) + 0.01, 0.5);
  const within = (value, end) => Math.min(Math.max(value, -2), end + 2);
  const [cx, cy] = [within(x, 1), within(y * tall, tall)];
  const [left, top] = [Math.min(0, cx - room), Math.min(0, cy - room)];
  const [wide, high] = [Math.max(1, cx + room) - left, Math.max(tall, cy + room) - top];
  marks.setAttribute("viewBox", `${left} ${top} ${wide} ${high}`);
  const share = (length) => `${(100 * length) / wide}%`;
  Object.assign($("map").style, {
    width: share(1), marginLeft: share(-left), marginTop: share(-top), marginBottom: share(high + top - tall),
  });
  const parts = [];
  const add = (name, attributes) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key_, value] of Object.entries(attributes)) node.setAttribute(key_, value);
    parts.push(node);
  };
  const at = `translate(${x} ${y * tall})`;
  add("path", { d: "M0 0 L.09 -.035 L.09 .035 Z", transform: `${at} rotate(${heading})` });
  if (ellipse) {
    add("ellipse", { rx: ellipse.major, ry: ellipse.minor, transform: `${at} rotate(${ellipse.angle_deg})` });
  }
  add("circle", { r: 0.009, transform: at });
  marks.replaceChildren(...parts);
  const around = ellipse ? "; the ellipse holds the camera with a probability of 90 %" : "";
  $("scale").textContent = `From above, ${run.map.width.toPrecision(3)} by ${run.map.height.toPrecision(3)} ${unit(run)}${around}.`;
}

function blend() {
  $("model").style.opacity = $("blend").value / 100;
}

async function keepLooking() {
  const button = $("camera");
  if (stream) {
    stream.getTracks().forEach((track) => track.stop());
    stream = null;
    $("live").hidden = true;
    button.setAttribute("aria-pressed", "false");
    button.textContent = "Keep looking";
    return;
  }
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1280 } } });
  } catch (error) {
    $("answer").hidden = false;
    $("verdict").className = "bad";
    $("verdict").textContent = window.isSecureContext
      ? `The camera cannot be used (${error.message}).`
      : "Browsers give the camera to pages of this machine or over HTTPS alone; take single photos instead.";
    return;
  }
  button.setAttribute("aria-pressed", "true");
  button.textContent = "Stop looking";
  const live = $("live");
  live.hidden = false;
  live.srcObject = stream;
  await live.play();
  while (stream) {
    const canvas = document.createElement("canvas");
    canvas.width = live.videoWidth;
    canvas.height = live.videoHeight;
    if (canvas.width) {
      canvas.getContext("2d").drawImage(live, 0, 0);
      const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.9));
      await localize(new File([blob], `${new Date().toLocaleTimeString()}.jpg`, { type: "image/jpeg" }));
    }
    await new Promise((done) => setTimeout(done, PAUSE_MS));
  }
}

async function take(files) {
  for (const file of files) await localize(file);
}

async function begin() {
  for (const id of ["file", "shot"]) {
    $(id).addEventListener("change", async (event) => {
      await take([...event.target.files]);
      event.target.value = "";
    });
  }
  const drop = $("drop");
  drop.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") $("file").click();
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  document.addEventListener("dragleave", () => drop.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    take([...event.dataTransfer.files]);
  });
  $("blend").addEventListener("input", blend);
  $("camera").addEventListener("click", keepLooking);
  await learnRuns();
  $("places").textContent = runs.length > 1 ? `Places: ${runs.map((each) => each.name).join(", ")}` : `Place: ${runs[0].name}`;
  $("which").hidden = runs.length < 2;
  $("run").replaceChildren(...[["", "the surest"], ...runs.map((each) => [each.name, each.name])].map(([value, text]) => {
    const option = document.createElement("option");
    option.value = value;
    option.textContent = text;
    return option;
  }));
  document.body.dataset.ready = "yes";
}

begin().catch((error) => {
  $("places").textContent = error.message;
});
