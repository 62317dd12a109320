// A question with a key and a button an answer. A notebook would take a, b, x and dd for commands:
// the root tells JupyterLab that its keys are its own, and keeps plain keys from VS Code, which hears
// what leaves an output.
function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "rulekit-desk";
  root.dataset.lmSuppressShortcuts = "true";
  root.tabIndex = 0;
  root.setAttribute("role", "group");
  const keys = model.get("choices");
  const words = keys.map(([key, says]) => `${key}: ${says}`).join(", ");
  root.setAttribute("aria-label", `Annotation desk. Keys ${words}`);
  root.setAttribute("aria-keyshortcuts", keys.map(([key]) => key).join(" "));
  const question = document.createElement("div");
  const buttons = document.createElement("div");
  const said = document.createElement("div");
  buttons.className = "rulekit-keys";
  said.className = "rulekit-said";
  said.setAttribute("role", "status");
  const press = (key) => model.send({ key, asked: model.get("shown").asked });
  for (const [key, says] of keys) {
    const button = document.createElement("button");
    const cap = document.createElement("kbd");
    button.type = "button";
    button.dataset.key = key;
    cap.textContent = key;
    button.append(cap, ` ${says}`);
    button.addEventListener("click", () => { press(key); root.focus({ preventScroll: true }); });
    buttons.append(button);
  }
  root.append(buttons, said, question);
  el.append(root);
  const named = new Set(keys.map(([key]) => key));
  root.addEventListener("keydown", (event) => {
    const key = event.key.toLowerCase();
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (key.length === 1) event.stopPropagation();
    if (event.repeat || !named.has(key)) return;
    event.preventDefault();
    press(key);
  });
  const draw = () => {
    const shown = model.get("shown");
    if (question.dataset.asked !== shown.asked) {
      question.innerHTML = shown.question ?? ""; // made by rulekit.tables, every text escaped
      question.dataset.asked = shown.asked ?? "";
      // texts that scroll are reached by keys
      for (const box of question.querySelectorAll("div[style*=overflow]")) box.tabIndex = 0;
    }
    said.textContent = shown.said ?? "";
  };
  model.on("change:shown", draw);
  draw();
  return () => model.off("change:shown", draw);
}
export default { render };
