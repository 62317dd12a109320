// A page of a table as it is given; what is clicked or typed is sent, and nothing is sorted here.
function made(kind, text = "", attributes = {}) {
  const element = document.createElement(kind);
  element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function render({ model, el }) {
  const root = made("div", "", { class: "rulekit-grid", "data-lm-suppress-shortcuts": "true" });
  el.append(root);

  const ask = (message) => model.send(message);
  const button = (text, key, message, more = {}) => {
    const found = made("button", text, { type: "button", "data-key": key, "data-lm-suppress-shortcuts": "true", ...more });
    found.addEventListener("click", () => ask(message));
    return found;
  };

  function heading(column, page) {
    const sorted = page.sort === column.name;
    const cell = made("th", "", {
      scope: "col",
      "aria-sort": sorted ? (page.descending ? "descending" : "ascending") : "none",
    });
    const arrow = sorted ? (page.descending ? " ▼" : " ▲") : "";
    cell.append(button(column.heading + arrow, `sort ${column.name}`, { sort: column.name }));
    return cell;
  }

  function line(row, page) {
    const chosen = row.key === page.chosen;
    const found = made("tr", "", { "data-row": row.key });
    if (chosen) found.setAttribute("aria-selected", "true");
    if (row.on !== undefined) {
      const cell = made("td");
      const box = made("input", "", { type: "checkbox", "data-lm-suppress-shortcuts": "true", "data-key": `switch ${row.key}`, "aria-label": `${page.switch} ${row.key}` });
      box.checked = row.on;
      box.addEventListener("change", () => ask({ switch: row.key, on: box.checked }));
      cell.append(box);
      found.append(cell);
    }
    row.cells.forEach((text, i) => {
      const cell = made(i ? "td" : "th", "", i ? {} : { scope: "row" });
      if (page.columns[i].number) cell.className = "number";
      else if (text.length > 40) cell.className = "long";
      if (i) cell.textContent = text;
      else cell.append(button(text, `row ${row.key}`, { row: row.key }, chosen ? { "aria-current": "true" } : {}));
      found.append(cell);
    });
    found.addEventListener("click", (event) => {
      if (!event.target.closest("button, input")) ask({ row: row.key });
    });
    return found;
  }

  function draw() {
    const page = model.get("page");
    if (!page.columns) return;
    const focused = root.contains(document.activeElement) && document.activeElement.dataset.key;
    const box = root.querySelector(".rulekit-rows");
    const before = box ? box.scrollTop : 0;
    const table = made("table", "", { "aria-label": model.get("label") });
    const head = made("thead"), body = made("tbody"), names = made("tr");
    if (page.rows.some((row) => row.on !== undefined)) names.append(made("th", page.switch, { scope: "col" }));
    names.append(...page.columns.map((column) => heading(column, page)));
    head.append(names);
    body.append(...page.rows.map((row) => line(row, page)));
    table.append(head, body);
    const rows = made("div", "", { class: "rulekit-rows", tabindex: "0", "data-lm-suppress-shortcuts": "true", role: "region", "aria-label": model.get("label") });
    rows.append(table);
    const foot = made("div", "", { class: "rulekit-foot" });
    const back = button("← rows before", "page -1", { page: -1 });
    const on = button("rows behind →", "page 1", { page: 1 });
    back.disabled = page.first;
    on.disabled = page.last;
    foot.append(back, made("span", page.said, { role: "status" }), on);
    root.replaceChildren(rows, foot);
    rows.scrollTop = before;
    const again = focused && [...root.querySelectorAll("[data-key]")].find((e) => e.dataset.key === focused);
    if (again) again.focus({ preventScroll: true });
    // Not scrollIntoView, which would move the whole page.
    const mark = root.querySelector("tr[aria-selected]");
    if (mark && (mark.offsetTop < rows.scrollTop + head.offsetHeight || mark.offsetTop + mark.offsetHeight > rows.scrollTop + rows.clientHeight))
      rows.scrollTop = mark.offsetTop - head.offsetHeight;
  }

  root.addEventListener("keydown", (event) => {
    // VS Code hears what leaves an output, and takes plain keys and arrows for commands of its notebook.
    const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
    if (plain && (event.key.length === 1 || event.key.startsWith("Arrow"))) event.stopPropagation();
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const row = event.target.closest("tr[data-row]");
    if (!step || !row) return;
    const next = step > 0 ? row.nextElementSibling : row.previousElementSibling;
    const kind = event.target.dataset.key.split(" ")[0];
    const wanted = next && [...next.querySelectorAll("[data-key]")].find((e) => e.dataset.key.startsWith(kind));
    if (wanted) wanted.focus();
    event.preventDefault();
  });

  model.on("change:page", draw);
  draw();
  return () => model.off("change:page", draw);
}
export default { render };
