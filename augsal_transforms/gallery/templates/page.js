
"use strict";
const toggle = (element, visible) => element.classList.toggle("off", !visible);
const cards = Array.from(document.querySelectorAll(".card"), (element) => {
  const slider = element.querySelector("input[type=range]");
  const region = element.querySelector(".region");
  const picture = element.querySelector(".after svg");
  const labels = new Map();
  for (const panel of element.querySelectorAll(".panel")) labels.set(Number(panel.dataset.step), panel.dataset.label);
  const series = Array.from(element.querySelectorAll("input[type=radio]"));
  const current = () => series.find((choice) => choice.checked).dataset;
  const show = () => {
    const first = Number(current().first);
    const step = Number(slider.value) ? first + Number(slider.value) - 1 : 0;
    for (const one of element.querySelectorAll("[data-step]")) toggle(one, Number(one.dataset.step) === step);
    for (const one of element.querySelectorAll("[data-steps]")) {
      toggle(one, one.dataset.steps.split(" ").includes(String(step || first)));
    }
    toggle(element.querySelector(".overlay"), region.checked);
    const now = step ? `${current().title}, ${labels.get(step)}` : "the original";
    element.querySelector(".now").textContent = now;
    picture.setAttribute("aria-label", `${step ? "Edited: " : ""}${now}${region.checked ? ", outside of the region dimmed" : ""}`);
    slider.setAttribute("aria-valuetext", labels.get(step));
  };
  const choose = () => {
    slider.max = Number(current().last) - Number(current().first) + 1;
    slider.value = slider.max;
    show();
  };
  slider.addEventListener("input", show);
  region.addEventListener("change", show);
  for (const choice of series) choice.addEventListener("change", choose);
  choose();
  return { element, series, region, show, choose, words: element.dataset.words.split(" ") };
});
const kind = document.getElementById("kind");
const word = document.getElementById("word");
const filter = () => {
  let visible = 0;
  for (const card of cards) {
    const choice = card.series.find((one) => one.dataset.kind === kind.value);
    const fits = (!kind.value || choice) && (!word.value || card.words.includes(word.value));
    toggle(card.element, fits);
    visible += fits ? 1 : 0;
    if (choice && !choice.checked) {
      choice.checked = true;
      card.choose();
    }
  }
  document.getElementById("count").textContent = `${visible} of ${cards.length} images`;
};
kind.addEventListener("change", filter);
word.addEventListener("change", filter);
document.getElementById("regions").addEventListener("change", (event) => {
  for (const card of cards) {
    card.region.checked = event.target.checked;
    card.show();
  }
});
filter();
