"""What a person sees and reaches of a tool on an open page: names of controls, and contrast."""

# controls of a tool that a screen reader has no name for, or that keys do not reach
NAMELESS = """root => [...root.querySelectorAll('button, input, select, textarea, [role=slider]')]
  .filter(e => e.offsetParent !== null)
  .filter(e => {
    const name = e.getAttribute('aria-label') || e.title || (e.labels && [...e.labels].map(l => l.textContent).join(''))
      || (e.tagName === 'BUTTON' && e.textContent) || '';
    return !name.trim() || e.tabIndex < 0;
  })
  .map(e => e.outerHTML.slice(0, 200))"""

# the least contrast of any text of a tool with what stands behind it, and that text
CONTRAST = """root => {
  const parse = c => { const n = c.match(/[\\d.]+/g).map(Number); return [n[0], n[1], n[2], n.length > 3 ? n[3] : 1]; };
  const over = (top, base) => top.slice(0, 3).map((v, i) => v * top[3] + base[i] * (1 - top[3]));
  const light = c => { const f = v => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; };
    return .2126 * f(c[0]) + .7152 * f(c[1]) + .0722 * f(c[2]); };
  const behind = e => { const layers = [];
    for (let n = e; n; n = n.parentElement) layers.push(parse(getComputedStyle(n).backgroundColor));
    return layers.reverse().reduce((base, top) => over(top, base), [255, 255, 255]); };
  let least = [99, ''];
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !e.offsetParent || e.closest('[disabled]')) continue;
    const base = behind(e);
    let opacity = 1;
    for (let n = e; n; n = n.parentElement) opacity *= Number(getComputedStyle(n).opacity);
    const ink = parse(getComputedStyle(e).color);
    const seen = over([...ink.slice(0, 3), ink[3] * opacity], base);
    const [a, b] = [light(seen), light(base)].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < least[0]) least = [ratio, walker.currentNode.textContent.slice(0, 60)];
  }
  return least;
}"""

# the keys that leave a tool, which VS Code would take for commands of its notebook
LEAVING = """() => { window.left = []; window.addEventListener('keydown', e => window.left.push(e.key)); }"""


def keys_that_leave(page, *keys: str) -> list[str]:
    """Those of the pressed keys that bubble out of the tool in which the focus is."""
    if not page.evaluate("Array.isArray(window.left)"):
        page.evaluate(LEAVING)
    page.evaluate("window.left.length = 0")
    for key in keys:
        page.keyboard.press(key)
    return page.evaluate("window.left")


def assert_controls_have_names_and_keys(page, tool: str = ".rulekit-tool") -> None:
    """Every control in view has a name and is reached by keys."""
    assert page.locator(tool).first.evaluate(NAMELESS) == []


def least_contrast(page, tool: str = ".rulekit-tool") -> tuple[float, str]:
    """The least contrast of a text of the tool with what is behind it, and that text."""
    return tuple(page.locator(tool).first.evaluate(CONTRAST))
