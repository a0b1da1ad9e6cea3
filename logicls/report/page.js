"use strict";
const data = JSON.parse(document.querySelector("#data").textContent);
const total = data.photo.length, pageSize = 20;
const find = (selector) => document.querySelector(selector);
const list = find("#list"), search = find("#search"), violation = find("#violation"), sort = find("#sort");
const filters = { outcome: "", wrong: "", secondLook: "" };
const searchTexts = data.photo.map((name, n) => `${name}\n${data.result[n]}`.toLowerCase());
let matches = [], page = 0, expandAll = false;

/** Create an element with a class and children; strings become text nodes. */
function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

function makeSvg(tag, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

/** Return the data URL of a thumbnail; null without one. */
function thumbnailUrl(n) {
  const script = document.getElementById(`thumbnail${n}`);
  return script && `data:image/webp;base64,${script.textContent}`;
}

const makeSign = () => { const sign = make("i", "sign"); sign.ariaHidden = "true"; return sign; };
const percent = (share) => `${Math.round(100 * share)} %`;
const questionTag = (number, broken) => make("span", broken ? "dot broken" : "dot", String(number));
const questionTags = (numbers, broken) => numbers.flatMap((number) => [questionTag(number, broken), " "]);

/** Create the collapsed card: thumbnail, outcome, name, and violations. */
function makeCard(n) {
  const outcome = data.outcome[n], card = make("details", `card ${outcome}`), head = make("summary", "");
  const url = thumbnailUrl(n);
  if (url) {
    const small = make("img", "small");
    small.src = url;
    small.alt = "";
    head.append(small);
  } else head.append(make("span", "small", "no photo"));
  const names = make("span", "names");
  for (const index of data.broken[n]) {
    const name = data.violations[index], severity = data.severities[name] ?? "major";
    const grade = make("i", "grade");
    grade.title = severity;
    names.append(make("span", severity, grade, name));
  }
  if (data.wrong[n]) names.append(make("span", "differs", "wrong"));
  if (data.secondLook?.[n]) names.append(make("span", "dim", "second look"));
  const badge = make("span", "badge", makeSign(), outcome);
  head.append(make("span", "title", badge, make("strong", "", data.photo[n]), names));
  head.append(make("span", "score dim", `score ${data.score[n].toFixed(3)}`));
  card.append(head);
  card.id = data.result[n];
  card.addEventListener("toggle", () => card.open && fillCard(card, n));
  return card;
}

function openCard(card, n) {
  fillCard(card, n);
  card.open = true;
}

function fillCard(card, n) {
  if (card.children.length > 1) return;
  const record = JSON.parse(document.getElementById(`card${n}`).textContent);
  const body = make("div", "body", make("div", "photo", makePhoto(n, record)), makeTexts(n, record));
  card.append(body);
  for (const row of body.querySelectorAll("[data-number]"))
    for (const [kind, on] of [["mouseenter", true], ["mouseleave", false], ["focusin", true], ["focusout", false]])
      row.addEventListener(kind, () => highlightBoxes(body, row.dataset.number, on));
}

/** Highlight the boxes of one question. */
function highlightBoxes(body, number, on) {
  body.classList.toggle("highlighting", on && body.querySelector(`[data-mark="${number}"]`) !== null);
  for (const mark of body.querySelectorAll(`[data-mark="${number}"]`)) mark.classList.toggle("on", on);
}

function makePhoto(n, record) {
  const url = thumbnailUrl(n);
  if (!url) return make("div", "blank", "no photo");
  const [width, height] = record.size, frame = make("div", "frame"), image = make("img", "");
  const count = record.boxes.length;
  frame.style.setProperty("--ratio", width / height);
  image.src = url;
  image.alt = `${data.photo[n]} with ${count} ${count === 1 ? "box" : "boxes"}, described in the table`;
  const overlay = makeSvg("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  for (const [number, broken, x, y, boxWidth, boxHeight, tagX, tagY] of record.boxes) {
    const mark = makeSvg("g", { class: broken ? "mark broken" : "mark", "data-mark": number });
    mark.append(
      makeSvg("rect", { class: "halo", x, y, width: boxWidth, height: boxHeight, rx: 4 }),
      makeSvg("rect", { class: "box", x, y, width: boxWidth, height: boxHeight, rx: 4 }),
      makeSvg("rect", { class: "plate", x: tagX, y: tagY, width: data.tag[0], height: data.tag[1], rx: 8 }),
      makeSvg("text", { x: tagX + data.tag[0] / 2, y: tagY + data.tag[1] - 9 }, number),
    );
    overlay.append(mark);
  }
  for (const [number, broken, x, y, boxWidth, boxHeight, angle, rows] of record.heatmaps ?? []) {
    const turn = `rotate(${-angle} ${x + boxWidth / 2} ${y + boxHeight / 2})`;
    const mark = makeSvg("g", { class: broken ? "mark heatmap broken" : "mark heatmap", "data-mark": number, transform: turn });
    const cellWidth = boxWidth / rows[0].length, cellHeight = boxHeight / rows.length;
    rows.forEach((digits, row) => [...digits].forEach((digit, column) => {
      const level = parseInt(digit, 16) / 15;
      if (level < 0.3) return;
      const place = { x: x + column * cellWidth, y: y + row * cellHeight, width: cellWidth, height: cellHeight };
      mark.append(makeSvg("rect", { class: "heat", ...place, "fill-opacity": (0.55 * level).toFixed(2) }));
    }));
    overlay.prepend(mark);
  }
  for (const [number, broken, x, y, tipX, tipY] of record.arrows ?? []) {
    const mark = makeSvg("g", { class: broken ? "mark broken" : "mark", "data-mark": number });
    const across = (tipY - y) / 6, down = (x - tipX) / 6, baseX = x + (tipX - x) * 0.7, baseY = y + (tipY - y) * 0.7;
    const shape = `M${x} ${y}L${tipX} ${tipY}M${baseX + across} ${baseY + down}L${tipX} ${tipY}L${baseX - across} ${baseY - down}`;
    mark.append(makeSvg("path", { class: "halo", d: shape }), makeSvg("path", { class: "arrow", d: shape }));
    overlay.append(mark);
  }
  frame.append(image, overlay);
  return frame;
}

/** Causes and consequences of a violation from the knowledge base: general ones, and those of the retrieved pages. */
function makeCauses(name, reason, documents) {
  const pages = (data.causes[name] ?? []).filter(([page, variant]) => !variant || !documents || documents.includes(page));
  return pages.flatMap(([, variant, causes, consequences]) => {
    const suffix = variant ? ` (${variant})` : "";
    return [["Causes", causes], ["Consequences", consequences]]
      .filter(([, text]) => text && text !== reason)
      .map(([heading, text]) => make("p", "knowledge", make("b", "", `${heading}${suffix}: `), text));
  });
}

function makeRule([id, status, name, expected, found, numbers, confidence], documents) {
  const broken = status === 0, text = data.rules[id] ?? id;
  const head = make("p", "", make("b", "", name), " ", ...questionTags(numbers, broken));
  head.append(make("span", "dim", broken ? `confidence ${percent(confidence)}` : ""));
  const rule = make("div", "rule", head);
  if (text !== name && text !== expected) rule.append(make("p", "", text));
  if (expected || found)
    rule.append(make("p", "comparison",
      ...(expected ? [make("span", "", make("span", "dim", "expected "), make("b", "", expected))] : []),
      ...(found ? [make("span", "", make("span", "dim", "found "), make("b", "", found))] : [])));
  if (data.reasons[id]) rule.append(make("p", "dim", `Reason for the rule: ${data.reasons[id]}`));
  if (broken) rule.append(...name.split(", ").flatMap((one) => makeCauses(one, data.reasons[id], documents)));
  return rule;
}

function makeTexts(n, record) {
  const texts = make("div", "texts");
  if (record.truth) {
    const truth = record.truth.join(", ") || "no violations";
    texts.append(make("p", data.wrong[n] ? "truth differs" : "truth", make("span", "", "Ground truth: "), truth));
  }
  if (record.secondLook) {
    const [reasoner, change, detail] = record.secondLook;
    texts.append(make("p", "second-look", make("b", "", `Second look: ${change}.`), ` ${detail} `,
      make("span", "dim", `Reasoner: ${reasoner}.`)));
  }
  if (record.reasons.length)
    texts.append(make("div", "why", make("p", "", "Needs review:"),
      make("ul", "", ...record.reasons.map((reason) => make("li", "", reason)))));
  for (const rule of record.rules.filter((rule) => rule[1] === 0)) texts.append(makeRule(rule, record.documents));
  const unknown = record.rules.filter((rule) => rule[1] === 1);
  if (unknown.length) texts.append(make("p", "dim", "Not evaluated:"), ...unknown.map((rule) => makeRule(rule)));
  if (record.answers.length) texts.append(makeAnswers(record), makeOtherRules(record));
  const provenance = [`result ${data.result[n]}`];
  if (record.seconds) provenance.push(`${Math.round(1000 * record.seconds)} ms`);
  if (record.sha256) provenance.push(`SHA-256 ${record.sha256.slice(0, 16)}…`);
  const line = make("p", "origin", provenance.join("  ·  "));
  line.title = record.sha256;
  texts.append(line);
  return texts;
}

function makeAnswers(record) {
  const titles = ["", "question", "answer"].map((text) => make("th", "", text));
  const head = make("tr", "", ...titles, make("th", "number", "confidence"));
  const rows = record.answers.map(([number, query, answer, confidence, broken, readable]) => {
    const cell = make("td", "number");
    if (readable) {
      const bar = make("i", "");
      bar.style.width = `${100 * confidence}%`;
      cell.append(make("span", "meter", bar), make("span", "confidence", percent(confidence)));
    } else cell.append("–");
    const row = make("tr", "", make("td", "", questionTag(number, broken)), make("td", "", data.questions[query] ?? query),
      make("td", broken ? "answer broken" : "answer", answer), cell);
    row.dataset.number = number;
    row.tabIndex = 0;
    return row;
  });
  return make("table", "answers", make("thead", "", head), make("tbody", "", ...rows));
}

/** The violations that the model stated, and the collapsed list of rules that are not violated. */
function makeOtherRules(record) {
  const stated = make("p", "stated", make("span", "dim", "Violations stated by the model itself: "), record.stated);
  if (!record.consistent) stated.append(make("span", "dim", " (differs from the violations derived from its answers)"));
  const others = record.rules.filter((rule) => rule[1] > 1), holding = others.filter((rule) => rule[1] === 2).length;
  const counts = [[holding, holding === 1 ? "rule holds" : "rules hold"], [others.length - holding, "not applicable"]];
  const summary = make("summary", "", counts.filter(([count]) => count).map((pair) => pair.join(" ")).join(", "));
  const lines = others.map(([id, status, , , found, numbers]) =>
    make("li", "", status === 2 ? "✓ " : "– ", data.rules[id] ?? id, found ? make("span", "dim", ` (found ${found}) `) : " ",
      ...questionTags(numbers, 0)));
  return make("div", "", stated, ...(others.length ? [make("details", "others", summary, make("ul", "", ...lines))] : []));
}

/** Apply filters, search and sorting, then show the first page. */
function update() {
  const text = search.value.trim().toLowerCase(), index = data.violations.indexOf(violation.value);
  matches = [];
  for (let n = 0; n < total; n++)
    if ((!filters.outcome || data.outcome[n] === filters.outcome) && (!filters.wrong || data.wrong[n]) &&
        (!filters.secondLook || data.secondLook[n]) &&
        (!violation.value || data.broken[n].includes(index)) && searchTexts[n].includes(text)) matches.push(n);
  if (sort.value === "score") matches.sort((a, b) => data.score[b] - data.score[a]);
  if (sort.value === "photo") matches.sort((a, b) => (searchTexts[a] < searchTexts[b] ? -1 : 1));
  for (const button of document.querySelectorAll("[data-filter]")) {
    const value = button.dataset.filter === "violation" ? violation.value : filters[button.dataset.filter];
    button.setAttribute("aria-pressed", value === button.value);
  }
  showPage(0);
}

function showPage(number) {
  const pages = Math.max(Math.ceil(matches.length / pageSize), 1);
  page = Math.min(Math.max(number, 0), pages - 1);
  const numbers = matches.slice(page * pageSize, (page + 1) * pageSize);
  list.replaceChildren(...numbers.map(makeCard));
  for (const [k, card] of [...list.children].entries()) if (expandAll || (k === 0 && page === 0)) openCard(card, numbers[k]);
  const count = matches.length.toLocaleString("en"), first = page * pageSize + 1;
  const range = numbers.length < matches.length ? `, ${first} to ${page * pageSize + numbers.length} displayed` : "";
  const counts = `${count} ${matches.length === 1 ? "photo matches" : "photos match"}${range}`;
  find("#match-count").textContent = matches.length ? counts : "No photo matches.";
  find("#page").textContent = `page ${page + 1} of ${pages}`;
  find("#previous").disabled = page === 0;
  find("#next").disabled = page === pages - 1;
  find(".pages").hidden = pages === 1;
}

function turnToPage(number) {
  showPage(number);
  find("#match-count").scrollIntoView({ block: "start" });
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-filter]");
  if (!button) return;
  const key = button.dataset.filter;
  if (key === "violation") {
    violation.value = violation.value === button.value ? "" : button.value;
    update();
    find("#photos").scrollIntoView();
  } else {
    filters[key] = filters[key] === button.value ? "" : button.value;
    update();
  }
});
search.addEventListener("input", update);
violation.addEventListener("change", update);
sort.addEventListener("change", update);
find("#previous").addEventListener("click", () => turnToPage(page - 1));
find("#next").addEventListener("click", () => turnToPage(page + 1));
find("#expand-all").addEventListener("click", (event) => {
  expandAll = !expandAll;
  event.currentTarget.setAttribute("aria-pressed", expandAll);
  for (const [k, card] of [...list.children].entries())
    expandAll ? openCard(card, matches[page * pageSize + k]) : (card.open = false);
});
// Print all cards of the page open: a closed card cannot be opened on paper.
let openStates = [];
addEventListener("beforeprint", () => {
  openStates = [...list.children].map((card) => card.open);
  for (const [k, card] of [...list.children].entries()) openCard(card, matches[page * pageSize + k]);
});
addEventListener("afterprint", () => openStates.forEach((open, k) => { list.children[k].open = open; }));

/** Show the photo of a link `index.html#RESULT`. */
function showLinkedResult() {
  const n = data.result.indexOf(location.hash.slice(1));
  if (n < 0) return;
  search.value = data.result[n];
  update();
}
addEventListener("hashchange", showLinkedResult);
update();
showLinkedResult();
