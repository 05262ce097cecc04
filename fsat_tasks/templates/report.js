"use strict";
// Tables sort by their headings; the map tells of the point that is asked for; folds are open on paper. A phone shows most sections
// folded, with their gist. Without this the page has the same content, unfolded.
(() => {
  const key = (row, column) => row.cells[column].dataset.v ?? row.cells[column].textContent.trim();

  const compare = (a, b) => {
    const [x, y] = [Number(a), Number(b)];
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
  };

  const sort = (table, column) => {
    const head = table.tHead.rows[0].cells[column];
    const direction = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    const sign = direction === "ascending" ? 1 : -1;
    const rows = [...table.tBodies[0].rows].sort((one, other) => {
      const [a, b] = [key(one, column), key(other, column)];
      if (a === "" || b === "") return (a === "") - (b === ""); // nothing comes last, whichever way
      return sign * compare(a, b);
    });
    for (const cell of table.tHead.rows[0].cells) cell.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", direction);
    table.tBodies[0].append(...rows);
  };

  for (const table of document.querySelectorAll("table.sort")) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      if ("plain" in head.dataset) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(table, column));
      head.append(button);
    });
  }

  const parts = document.querySelectorAll("details.part");
  const first = document.querySelector("#suspects tbody") ? "suspects" : "accuracy";
  if (matchMedia("(max-width: 40rem)").matches) for (const part of parts) part.open = part.parentElement.id === first;
  addEventListener("click", (event) => {
    const link = event.target.closest?.('a[href^="#"]');
    if (link) document.querySelector(`${link.hash} > details`).open = true;
  });

  const reach = () => {
    for (const box of document.querySelectorAll(".wide")) {
      if (box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight) box.tabIndex = 0; // for the arrow keys
    }
  };
  reach();
  document.addEventListener("toggle", reach, true); // a table in a closed fold has no size
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((fold) => (fold.open = true)));

  for (const map of document.querySelectorAll("svg.map")) {
    const said = map.parentElement.querySelector(".said");
    const hint = said.textContent;
    const ask = (event) => {
      const point = event.type === "pointerleave" ? null : event.target.closest("[data-class]");
      map.classList.toggle("asked", point !== null);
      for (const other of map.querySelectorAll("[data-class]")) {
        other.classList.toggle("same", point !== null && other.dataset.class === point.dataset.class);
      }
      said.textContent = point === null ? hint : (point.querySelector("title") ?? point).textContent;
    };
    for (const type of ["pointerover", "pointerleave", "click"]) map.addEventListener(type, ask);
  }

  const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((one) => one.isIntersecting)) {
      for (const [name, link] of links) link.classList.toggle("here", name === entry.target.id);
    }
  }, { rootMargin: "-10% 0px -80% 0px" });
  for (const section of document.querySelectorAll("main section[id]")) seen.observe(section);
})();
