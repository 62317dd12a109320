// A native range input with its label and its value; keys that JupyterLab would take stay here.
function render({ model, el }) {
  const root = document.createElement("label");
  root.className = "rulekit-slider";
  root.dataset.lmSuppressShortcuts = "true";
  const name = document.createElement("span");
  const input = document.createElement("input");
  const value = document.createElement("output");
  input.type = "range";
  input.dataset.lmSuppressShortcuts = "true"; // a shortcut's selector may match the input itself
  root.append(name, input, value);
  el.append(root);
  const draw = () => {
    name.textContent = model.get("label");
    for (const part of ["min", "max", "step"]) input[part] = model.get(part);
    input.value = model.get("value");
    value.textContent = String(Number(model.get("value").toFixed(6)));
  };
  const send = () => {
    value.textContent = input.value;
    model.set("value", Number(input.value));
    model.save_changes();
  };
  input.addEventListener("input", send);
  for (const part of ["label", "value", "min", "max", "step"]) model.on(`change:${part}`, draw);
  draw();
  return () => { for (const part of ["label", "value", "min", "max", "step"]) model.off(`change:${part}`, draw); };
}
export default { render };
