"""What a test sees on an open page."""

# of every picture: how many different colours are drawn, and on the page how wide it is
PICTURES = """images => images.map(image => {
  const canvas = document.createElement('canvas');
  canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
  const drawing = canvas.getContext('2d');
  drawing.drawImage(image, 0, 0);
  const pixels = drawing.getImageData(0, 0, canvas.width, canvas.height).data;
  const colors = new Set();
  for (let i = 0; i < pixels.length; i += 4)
    colors.add(pixels[i] * 65536 + pixels[i + 1] * 256 + pixels[i + 2]);
  return {colors: [...colors], natural: image.naturalWidth, width: image.clientWidth,
          alt: image.alt};
})"""
BLUE = 0x0072B2  # of the marks of the kit's chart
PLAIN_BLUE = 0x4C78A8  # Altair's own, of the chart by hand


def pictures(page, inside: str = "body") -> list[dict]:
    """The pictures that are drawn, in their order."""
    page.wait_for_function(
        "s => { const all = [...document.querySelectorAll(s + ' img')];"
        " return all.length >= 2 && all.every(i => i.complete && i.naturalWidth > 0) }",
        arg=inside,
    )
    return page.eval_on_selector_all(f"{inside} img", PICTURES)


def assert_charts_are_drawn(page, inside: str = "body") -> None:
    """Both charts are there with their marks, sharp, and not twice as large."""
    first, second = pictures(page, inside)[:2]
    assert BLUE in first["colors"]
    assert PLAIN_BLUE in second["colors"]
    for picture in (first, second):
        assert picture["natural"] >= 1.5 * picture["width"]
        fits = page.evaluate("window.innerWidth") > 500  # on a phone it may be smaller
        assert picture["natural"] <= 2.1 * picture["width"] or not fits


def shown_lines(page, inside: str) -> list[str]:
    """Lines of what can be seen in a part of the page."""
    part = page.locator(inside).first
    part.scroll_into_view_if_needed()  # JupyterLab lays out what is near the screen
    return part.inner_text().split("\n")


def is_wider_than_the_screen(page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth > window.innerWidth")


def is_all_on_the_screen(page, inside: str) -> bool:
    """Whether every text of a part of the page ends before the box that it stands in does."""
    return page.locator(inside).first.evaluate(
        "part => [...part.querySelectorAll('bdi')].every(text => {"
        " const box = text.closest('div, td').getBoundingClientRect(), r = text.getBoundingClientRect();"
        " return r.width > 0 && r.left >= 0 && r.right <= Math.min(box.right, innerWidth) + 1 })"
    )
