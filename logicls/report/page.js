const cards = [...document.querySelectorAll(".card")];
const search = document.querySelector("#search");
const chosen = { outcome: "", violation: "" };

function show() {
  const words = search.value.toLowerCase();
  let count = 0;
  for (const card of cards) {
    const names = JSON.parse(card.dataset.violations);
    const fits =
      (!chosen.outcome || card.dataset.outcome === chosen.outcome) &&
      (!chosen.violation || names.includes(chosen.violation)) &&
      card.dataset.photo.toLowerCase().includes(words);
    card.hidden = !fits;
    count += fits;
  }
  document.querySelector("#shown").textContent = count === 1 ? "1 card" : `${count} cards`;
  document.querySelector("#empty").hidden = count > 0;
  for (const button of document.querySelectorAll("[data-filter]"))
    button.setAttribute("aria-pressed", chosen[button.dataset.filter] === button.value);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-filter]");
  if (!button) return;
  const key = button.dataset.filter;
  chosen[key] = chosen[key] === button.value ? "" : button.value;
  show();
  if (key === "violation") document.querySelector("#cards").scrollIntoView({ behavior: "smooth" });
});
search.addEventListener("input", show);

for (const card of cards)
  for (const row of card.querySelectorAll("[data-number]"))
    for (const [kind, on] of [["mouseenter", true], ["mouseleave", false]])
      row.addEventListener(kind, () => {
        card.classList.toggle("pointing", on);
        for (const mark of card.querySelectorAll(`[data-mark="${row.dataset.number}"]`)) mark.classList.toggle("on", on);
      });
show();
