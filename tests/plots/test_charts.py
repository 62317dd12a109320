"""What a reader needs is in every chart: titles, keys, intervals, lines that can be told apart."""

import json
import subprocess
import sys

import altair as alt
import polars as pl
import pytest
import vl_convert

from rulekit import plots
from rulekit.plots.looks import BLUE
from tests.plots.samples import cells, every_chart, lines, shares

CHARTS = every_chart()
NO_CHARTS = {"as_png", "described", "selectors_redrawn"}  # these give data


def compiled(chart) -> dict:
    return vl_convert.vegalite_to_vega(chart.to_dict())


def legends(spec: dict) -> list[dict]:
    found = list(spec.get("legends", ()))
    for mark in spec.get("marks", ()):
        found += legends(mark)
    return found


def marks(spec: dict) -> list[dict]:
    found = []
    for mark in spec.get("marks", ()):
        found += [mark, *marks(mark)]
    return found


def test_every_public_chart_is_looked_at():
    assert set(CHARTS) == set(plots.__all__) - NO_CHARTS


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_shows_itself_with_its_words(name):
    data, metadata = CHARTS[name]._repr_mimebundle_()
    assert data["image/png"][:8] == b"\x89PNG\r\n\x1a\n"
    words = metadata["image/png"]["alt"]
    assert data["text/plain"] == words
    assert words.startswith("Chart: A finding.")
    assert len(words) > 40


@pytest.mark.parametrize("name", CHARTS)
def test_every_scale_of_colours_has_a_key_or_a_word_beside_it(name):
    spec = compiled(CHARTS[name])
    scales = {s["name"] for m in [spec, *marks(spec)] for s in m.get("scales", ())}
    colored = {s for s in scales if s.endswith("color")}
    keyed = {found.get(channel) for found in legends(spec) for channel in ("stroke", "fill")}
    assert colored <= keyed


@pytest.mark.parametrize("name", ["accuracy_against_cost", "bias", "curves"])
def test_the_key_shows_colour_and_dash_of_each_line(name):
    (found,) = legends(compiled(CHARTS[name]))
    assert found["symbolType"] == "stroke"
    assert {"stroke", "strokeDash"} <= set(found)


def test_an_axis_of_whole_numbers_has_no_half():
    frame = pl.DataFrame({"series": ["a"] * 4, "x": [1, 2, 3, 4], "y": [0.1, 0.2, 0.25, 0.27]})
    chart = plots.curves(frame, "t", "responses", "y").to_dict()
    assert chart["layer"][0]["encoding"]["x"]["axis"]["tickMinStep"] == 1


def test_curves_have_bands_only_where_intervals_are_given():
    kinds = [
        {mark["type"] for mark in marks(compiled(plots.curves(frame, "t", "x", "y")))}
        for frame in (lines(), lines(interval=False))
    ]
    assert "area" in kinds[0]
    assert "area" not in kinds[1]


def test_a_series_looks_the_same_in_every_chart_of_the_same_looks():
    looks, found = ("a", "b", "c"), {}
    for names in (["a", "b", "c"], ["c", "a"]):
        spec = plots.curves(lines(names), "t", "x", "y", looks=looks).to_dict()
        (line,) = [m for m in spec["layer"] if m["mark"]["type"] == "line"]
        for channel in ("color", "strokeDash"):
            scale = line["encoding"][channel]["scale"]
            found.setdefault(channel, []).append(
                dict(zip(scale["domain"], map(str, scale["range"]), strict=True))
            )
        assert line["encoding"]["color"]["legend"]["values"] == names  # none that is not drawn
    for first, second in found.values():
        assert first == second
    with pytest.raises(ValueError, match="series is 'd'; allowed: a, b, c"):
        plots.curves(lines(["a", "d"]), "t", "x", "y", looks=looks)


def test_the_key_tells_what_is_chosen_from_what_is_not():
    spec = json.dumps(compiled(CHARTS["pair_rules"]))
    assert '"chosen"' in spec
    assert '"not chosen"' in spec
    assert BLUE not in spec  # blue and orange are A and B


def test_the_map_rings_as_many_cells_as_are_chosen():
    frame, sides = cells()
    chart = plots.selection_map(frame, sides, "A finding")
    assert "the same on 1 of 3 pairs" in chart.description
    drawn = vl_convert.vegalite_to_svg(chart.to_dict())
    assert drawn.count('aria-roledescription="point"') == 2 * frame["chosen"].sum()  # and its halo


def test_more_series_than_can_be_told_apart_are_refused():
    many = [f"s{i}" for i in range(6)]
    for draw in (
        lambda: plots.curves(lines(many), "t", "x", "y"),
        lambda: plots.subsets(
            pl.DataFrame({"low": [0], "high": [1], "subsets": [1]}),
            shares(many).select("name", "value"),
            "t",
        ),
    ):
        with pytest.raises(ValueError, match="6 series; allowed: 5 or fewer"):
            draw()


def test_a_long_title_stands_in_several_lines_and_is_not_cut():
    title = "A finding that takes more words than stand above a picture of this width, " * 3
    chart = plots.accuracy(shares(["a", "b"]), title)
    assert " ".join(chart.title.text) == title.strip()
    _, metadata = chart._repr_mimebundle_()
    assert metadata["image/png"]["width"] < 760


def test_a_chart_by_hand_is_shown_in_the_same_way_when_plots_are_imported():
    code = (
        "import altair as alt, rulekit as rk; rk.plots.accuracy; "
        "chart = alt.Chart(alt.Data(values=[{'a': 1}]), title='By hand').mark_bar().encode(x='a:Q');"
        "data, metadata = chart._repr_mimebundle_(); print(sorted(data), metadata['image/png']['alt'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['image/png', 'text/plain'] Chart: By hand. across: a."


def test_a_picture_is_packed_without_loss():
    import struct
    import zlib

    chart = CHARTS["accuracy"]
    given = vl_convert.vegalite_to_png(chart.to_dict(), scale=1, ppi=144)
    shown = chart._repr_mimebundle_()[0]["image/png"]

    def pixels(png: bytes) -> bytes:
        at, found = 8, b""
        while at < len(png):
            (length,) = struct.unpack(">I", png[at : at + 4])
            kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
            (check,) = struct.unpack(">I", png[at + 8 + length : at + 12 + length])
            assert zlib.crc32(kind + data) == check
            found += data if kind == b"IDAT" else b""
            at += 12 + length
        return zlib.decompress(found)

    assert pixels(shown) == pixels(given)
    assert len(shown) < len(given) / 2


def test_labels_that_are_anything_but_labels_neither_end_the_process_nor_vanish():
    names = ("\x1b[31mred\x00\x07 \u202eturned", "<b>bold</b> $x$ & \n\n'quoted' \\", "w" * 10_000)
    for name, chart in every_chart(names, "A \x1b[8mhidden\ufffe <script> finding").items():
        _, metadata = chart._repr_mimebundle_()
        assert metadata["image/png"]["width"] < 1600, name
        svg = vl_convert.vegalite_to_svg(chart.to_dict())  # as `chart.save` draws it
        assert "␛[8mhidden" in svg, name
        if name not in ("label_by_order", "redundancy"):
            assert "␛[31mred␀␇ ⟨U+202E⟩turned" in svg, name


def test_long_names_that_begin_alike_stay_apart():
    chart = plots.accuracy(shares(["w" * 500 + "a", "w" * 500 + "b"]), "A finding")
    svg = vl_convert.vegalite_to_svg(chart.to_dict())
    assert svg.count('aria-roledescription="point"') == 2


def test_the_empty_name_has_a_row_of_its_own():
    chart = plots.accuracy(shares(["", "b"]), "A finding")
    svg = vl_convert.vegalite_to_svg(chart.to_dict())
    assert svg.count('aria-roledescription="point"') == 2


def test_a_description_of_many_rows_says_how_many_more_there_are():
    names = [f"n{i}" for i in range(30)]
    assert "and 18 more" in plots.accuracy(shares(names), "t").description


def test_words_of_a_chart_without_any_are_its_axes():
    chart = (
        alt.Chart(alt.Data(values=[])).mark_point().encode(x="a:Q", y=alt.Y("b:Q", title="B in m"))
    )
    assert plots.described(chart.to_dict()) == "Chart: across: a; upwards: B in m."


def test_a_map_of_few_rules_names_them_and_one_of_many_numbers_them():
    cells = pl.DataFrame({"row": [0, 1], "column": [1, 0], "value": [0.4, 0.4]})
    few = plots.redundancy(cells, "A finding", 2, ["no-insults", "x" * 300]).to_dict()
    assert few["encoding"]["x"]["scale"]["domain"][0] == "no-insults"
    assert len(few["encoding"]["y"]["scale"]["domain"][1]) < 150
    many = plots.redundancy(cells, "A finding", 40, [f"r{i}" for i in range(40)]).to_dict()
    assert many["encoding"]["x"]["scale"]["domain"] == list(range(40))
