// A square of cells as it is given; a cell that is clicked, or chosen with the keys, is sent.
const SIDE = 480;

function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "rulekit-heat";
  root.setAttribute("data-lm-suppress-shortcuts", "true");
  const canvas = document.createElement("canvas");
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("data-lm-suppress-shortcuts", "true");
  const said = document.createElement("div");
  said.setAttribute("role", "status");
  root.append(canvas, said);
  el.append(root);

  let at = null, values = new Map();

  const size = () => model.get("names").length;
  const valueOf = (row, column) => values.get(`${row},${column}`) ?? values.get(`${column},${row}`);
  const percent = (value) => (value === undefined ? "little" : `${Math.round(100 * value)} % of the larger entropy`);

  function draw() {
    const n = size(), scale = window.devicePixelRatio || 1, step = SIDE / Math.max(1, n);
    values = new Map(model.get("cells").map(([row, column, value]) => [`${row},${column}`, value]));
    canvas.width = canvas.height = SIDE * scale;
    canvas.style.width = canvas.style.height = `${SIDE}px`;
    canvas.setAttribute("aria-label", model.get("label"));
    const paint = canvas.getContext("2d");
    paint.scale(scale, scale);
    paint.fillStyle = "white";
    paint.fillRect(0, 0, SIDE, SIDE);
    const most = Math.max(1e-9, ...values.values());
    for (const [row, column, value] of model.get("cells")) {
      paint.fillStyle = `rgba(8, 48, 107, ${value / most})`;
      paint.fillRect(column * step, row * step, step + 0.5, step + 0.5);
    }
    paint.strokeStyle = "rgba(128, 128, 128, .8)";
    paint.strokeRect(0.5, 0.5, SIDE - 1, SIDE - 1);
    const mark = (row, column, color, width) => {
      paint.strokeStyle = color;
      paint.lineWidth = width;
      paint.strokeRect(column * step, row * step, step, step);
    };
    const chosen = model.get("chosen");
    if (chosen >= 0) {
      paint.strokeStyle = "#D55E00";
      paint.lineWidth = 1.5;
      paint.strokeRect(0, chosen * step, SIDE, step);
    }
    if (at) mark(at[0], at[1], "#D55E00", 2.5);
  }

  function move(row, column) {
    const n = size();
    at = [Math.min(n - 1, Math.max(0, row)), Math.min(n - 1, Math.max(0, column))];
    const [first, second] = at.map((place) => model.get("names")[place]);
    said.textContent = at[0] === at[1] ? first : `${first} and ${second} share ${percent(valueOf(...at))}`;
    draw();
  }

  const choose = () => at && model.send({ row: at[0], column: at[1] });
  const place = (event) => {
    const step = SIDE / Math.max(1, size());
    return [Math.floor(event.offsetY / step), Math.floor(event.offsetX / step)];
  };
  canvas.addEventListener("mousemove", (event) => move(...place(event)));
  canvas.addEventListener("click", (event) => { move(...place(event)); choose(); });
  canvas.addEventListener("focus", () => at || move(0, 0));
  canvas.addEventListener("keydown", (event) => {
    // VS Code hears what leaves an output, and takes plain keys and arrows for commands of its notebook.
    const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
    if (plain && (event.key.length === 1 || event.key.startsWith("Arrow"))) event.stopPropagation();
    const step = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] }[event.key];
    if (step) move(...(at || [0, 0]).map((one, i) => one + step[i]));
    else if (event.key === "Enter" || event.key === " ") choose();
    else return;
    event.preventDefault();
  });

  for (const name of ["cells", "names", "chosen"]) model.on(`change:${name}`, draw);
  draw();
  return () => ["cells", "names", "chosen"].forEach((name) => model.off(`change:${name}`, draw));
}
export default { render };
