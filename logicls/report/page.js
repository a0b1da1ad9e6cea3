"use strict";
const data = JSON.parse(document.querySelector("#data").textContent);
const total = data.photo.length, most = 20;
const find = (id) => document.querySelector(id);
const list = find("#list"), search = find("#search"), violation = find("#violation"), sorted = find("#sorted");
const chosen = { outcome: "", wrong: "", looked: "" };
const folded = data.photo.map((name, n) => `${name}\n${data.result[n]}`.toLowerCase());
let fitting = [], page = 0, openAll = false;

/** An element with a class and children; text stays text. */
function make(tag, kind, ...children) {
  const element = document.createElement(tag);
  if (kind) element.className = kind;
  element.append(...children);
  return element;
}

function drawn(tag, facts, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(facts)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function source(n) {
  const held = document.getElementById(`picture${n}`);
  return held && `data:image/webp;base64,${held.textContent}`;
}

const sign = () => { const mark = make("i", "sign"); mark.ariaHidden = "true"; return mark; };
const percent = (share) => `${Math.round(100 * share)} %`;
const dot = (number, broken) => make("span", broken ? "dot broken" : "dot", String(number));

/** The closed card: picture, verdict, name, and what is broken in one line each. */
function card(n) {
  const outcome = data.outcome[n], box = make("details", `card ${outcome}`), head = make("summary", "");
  const url = source(n);
  if (url) {
    const small = make("img", "small");
    small.src = url;
    small.alt = "";
    head.append(small);
  } else head.append(make("span", "small", "no picture"));
  const names = make("span", "names");
  for (const place of data.broken[n]) {
    const name = data.violations[place];
    const grade = make("i", "grade");
    grade.title = data.severities[name] ?? "major";
    names.append(make("span", data.severities[name] ?? "major", grade, name));
  }
  if (data.wrong[n]) names.append(make("span", "differs", "not as the truth"));
  if (data.looked?.[n]) names.append(make("span", "dim", "second look"));
  const title = make("span", "title", make("span", "badge", sign(), outcome), make("strong", "", data.photo[n]), names);
  head.append(title, make("span", "score dim", `score ${data.score[n].toFixed(3)}`));
  box.append(head);
  box.id = data.result[n];
  box.addEventListener("toggle", () => box.open && fill(box, n));
  return box;
}

function open(box, n) {
  fill(box, n);
  box.open = true;
}

function fill(box, n) {
  if (box.children.length > 1) return;
  const said = JSON.parse(document.getElementById(`card${n}`).textContent);
  const body = make("div", "body", make("div", "look", picture(n, said)), words(n, said));
  box.append(body);
  for (const row of body.querySelectorAll("[data-number]"))
    for (const [kind, on] of [["mouseenter", true], ["mouseleave", false], ["focusin", true], ["focusout", false]])
      row.addEventListener(kind, () => point(body, row.dataset.number, on));
}

/** Let the boxes of one question stand out. */
function point(body, number, on) {
  body.classList.toggle("pointing", on && body.querySelector(`[data-mark="${number}"]`) !== null);
  for (const mark of body.querySelectorAll(`[data-mark="${number}"]`)) mark.classList.toggle("on", on);
}

function picture(n, said) {
  const url = source(n);
  if (!url) return make("div", "blank", "no picture");
  const [width, height] = said.size, frame = make("div", "frame"), photo = make("img", "");
  frame.style.setProperty("--ratio", width / height);
  photo.src = url;
  photo.alt = `${data.photo[n]}, ${said.marks.length} boxes; the table has what they are`;
  const over = drawn("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  for (const [number, broken, x, y, wide, high, tagX, tagY] of said.marks) {
    const mark = drawn("g", { class: broken ? "mark broken" : "mark", "data-mark": number });
    mark.append(
      drawn("rect", { class: "halo", x, y, width: wide, height: high, rx: 4 }),
      drawn("rect", { class: "box", x, y, width: wide, height: high, rx: 4 }),
      drawn("rect", { class: "plate", x: tagX, y: tagY, width: data.tag[0], height: data.tag[1], rx: 8 }),
      drawn("text", { x: tagX + data.tag[0] / 2, y: tagY + data.tag[1] - 9 }, number),
    );
    over.append(mark);
  }
  frame.append(photo, over);
  return frame;
}

/** What pages of knowledge say of a violation: of any variant, and of the photo's where pages were drawn for it. */
function causes(name, why, documents) {
  const some = (data.causes[name] ?? []).filter(([page, variant]) => !variant || !documents || documents.includes(page));
  return some.flatMap(([, variant, before, after]) => {
    const of = variant ? ` (${variant})` : "";
    return [["Causes", before], ["Consequences", after]]
      .filter(([, said]) => said && said !== why)
      .map(([head, said]) => make("p", "known", make("b", "", `${head}${of}: `), said));
  });
}

function rule([id, status, name, expected, found, numbers, confidence], documents) {
  const broken = status === 0, words = data.rules[id] ?? id;
  const head = make("p", "", make("b", "", name), " ", ...numbers.flatMap((number) => [dot(number, broken), " "]));
  head.append(make("span", "dim", broken ? `sure to ${percent(confidence)}` : ""));
  const box = make("div", "rule", head);
  if (words !== name && words !== expected) box.append(make("p", "", words));
  if (expected || found)
    box.append(make("p", "against",
      ...(expected ? [make("span", "", make("span", "dim", "expected "), make("b", "", expected))] : []),
      ...(found ? [make("span", "", make("span", "dim", "found "), make("b", "", found))] : [])));
  if (data.whys[id]) box.append(make("p", "dim", `Why the rule: ${data.whys[id]}`));
  if (broken) box.append(...name.split(", ").flatMap((one) => causes(one, data.whys[id], documents)));
  return box;
}

function words(n, said) {
  const part = make("div", "words");
  if (said.truth) {
    const told = said.truth.join(", ") || "no rule broken";
    part.append(make("p", data.wrong[n] ? "truth differs" : "truth", make("span", "", "The truth: "), told));
  }
  if (said.again) {
    const [by, change, told] = said.again;
    part.append(make("p", "again", make("b", "", `Second look: ${change}.`), ` ${told} `, make("span", "dim", `Reasoner: ${by}.`)));
  }
  if (said.reasons.length)
    part.append(make("div", "why", make("p", "", "For a person to decide:"),
      make("ul", "", ...said.reasons.map((reason) => make("li", "", reason)))));
  for (const one of said.rules.filter((one) => one[1] === 0)) part.append(rule(one, said.documents));
  const unknown = said.rules.filter((one) => one[1] === 1);
  if (unknown.length) part.append(make("p", "dim", "Could not be checked:"), ...unknown.map((one) => rule(one)));
  if (said.asked.length) part.append(answers(said), held(said));
  const origin = [`result ${data.result[n]}`];
  if (said.seconds) origin.push(`${Math.round(1000 * said.seconds)} ms`);
  if (said.sha256) origin.push(`photo ${said.sha256.slice(0, 16)}…`);
  const line = make("p", "origin", origin.join("  ·  "));
  line.title = said.sha256;
  part.append(line);
  return part;
}

function answers(said) {
  const head = make("tr", "", ...["", "question", "answer"].map((text) => make("th", "", text)), make("th", "number", "sure"));
  const rows = said.asked.map(([number, query, answer, confidence, broken, readable]) => {
    const sure = make("td", "number");
    if (readable) {
      const bar = make("i", "");
      bar.style.width = `${100 * confidence}%`;
      sure.append(make("span", "meter", bar), make("span", "sure", percent(confidence)));
    } else sure.append("–");
    const row = make("tr", "", make("td", "", dot(number, broken)), make("td", "", data.questions[query] ?? query),
      make("td", broken ? "answer broken" : "answer", answer), sure);
    row.dataset.number = number;
    row.tabIndex = 0;
    return row;
  });
  return make("table", "asked", make("thead", "", head), make("tbody", "", ...rows));
}

/** What the model stated, and the rules that are not broken, folded away. */
function held(said) {
  const stated = make("p", "stated", make("span", "dim", "Asked for the broken rules alone, the model said: "), said.stated);
  if (!said.agrees) stated.append(make("span", "dim", " (differs from what its answers imply)"));
  const rest = said.rules.filter((one) => one[1] > 1), holding = rest.filter((one) => one[1] === 2).length;
  const told = [[holding, holding === 1 ? "rule holds" : "rules hold"], [rest.length - holding, "do not apply"]];
  const summary = make("summary", "", told.filter(([count]) => count).map((pair) => pair.join(" ")).join(", "));
  const lines = rest.map(([id, status, , , found, numbers]) =>
    make("li", "", status === 2 ? "✓ " : "– ", data.rules[id] ?? id, found ? make("span", "dim", ` (found ${found}) `) : " ",
      ...numbers.flatMap((number) => [dot(number, 0), " "])));
  return make("div", "", stated, ...(rest.length ? [make("details", "held", summary, make("ul", "", ...lines))] : []));
}

/** Which cards fit, then the first page of them. */
function choose() {
  const words = search.value.trim().toLowerCase(), place = data.violations.indexOf(violation.value);
  fitting = [];
  for (let n = 0; n < total; n++)
    if ((!chosen.outcome || data.outcome[n] === chosen.outcome) && (!chosen.wrong || data.wrong[n]) &&
        (!chosen.looked || data.looked[n]) &&
        (!violation.value || data.broken[n].includes(place)) && folded[n].includes(words)) fitting.push(n);
  if (sorted.value === "score") fitting.sort((a, b) => data.score[b] - data.score[a]);
  if (sorted.value === "photo") fitting.sort((a, b) => (folded[a] < folded[b] ? -1 : 1));
  for (const button of document.querySelectorAll("[data-filter]")) {
    const now = button.dataset.filter === "violation" ? violation.value : chosen[button.dataset.filter];
    button.setAttribute("aria-pressed", now === button.value);
  }
  turn(0);
}

function turn(to) {
  const pages = Math.max(Math.ceil(fitting.length / most), 1);
  page = Math.min(Math.max(to, 0), pages - 1);
  const here = fitting.slice(page * most, (page + 1) * most);
  list.replaceChildren(...here.map(card));
  for (const [n, box] of [...list.children].entries()) if (openAll || (n === 0 && page === 0)) open(box, here[n]);
  const many = fitting.length.toLocaleString("en");
  const range = here.length < fitting.length ? `, ${page * most + 1} to ${page * most + here.length} shown` : "";
  find("#shown").textContent = fitting.length ? `${many} ${fitting.length === 1 ? "photo fits" : "photos fit"}${range}` : "No photo fits.";
  find("#page").textContent = `page ${page + 1} of ${pages}`;
  find("#before").disabled = page === 0;
  find("#after").disabled = page === pages - 1;
  find(".pages").hidden = pages === 1;
}

function turnAndShow(to) {
  turn(to);
  find("#shown").scrollIntoView({ block: "start" });
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-filter]");
  if (!button) return;
  const key = button.dataset.filter;
  if (key === "violation") {
    violation.value = violation.value === button.value ? "" : button.value;
    choose();
    find("#photos").scrollIntoView();
  } else {
    chosen[key] = chosen[key] === button.value ? "" : button.value;
    choose();
  }
});
search.addEventListener("input", choose);
violation.addEventListener("change", choose);
sorted.addEventListener("change", choose);
find("#before").addEventListener("click", () => turnAndShow(page - 1));
find("#after").addEventListener("click", () => turnAndShow(page + 1));
find("#open-all").addEventListener("click", (event) => {
  openAll = !openAll;
  event.currentTarget.setAttribute("aria-pressed", openAll);
  for (const [n, box] of [...list.children].entries()) openAll ? open(box, fitting[page * most + n]) : (box.open = false);
});
// On paper every card of the page is open: a closed one cannot be opened there.
let before = [];
addEventListener("beforeprint", () => {
  before = [...list.children].map((box) => box.open);
  for (const [n, box] of [...list.children].entries()) open(box, fitting[page * most + n]);
});
addEventListener("afterprint", () => before.forEach((open, n) => { list.children[n].open = open; }));

/** `page.html#RESULT` opens that photo's card. */
function jump() {
  const n = data.result.indexOf(location.hash.slice(1));
  if (n < 0) return;
  search.value = data.result[n];
  choose();
}
addEventListener("hashchange", jump);
choose();
jump();
