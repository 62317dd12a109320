"""The store keeps every rating once through kills, a full disk, two writers and damaged files."""

import errno
import json
import multiprocessing
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import rulekit as rk
from rulekit.cli import main
from rulekit.files import sha256
from rulekit.inputs.sources import Labelled
from rulekit.judges import judge_named
from rulekit.judges.contract import RunStopped
from rulekit.measures import calibration_error, cohen_kappa
from rulekit.rating import export, quality
from rulekit.rating.annotation import annotate, annotate_to_folder
from rulekit.rating.job import Incomplete
from rulekit.rating.ledger import Ledger
from rulekit.rating.sorted_parts import keys
from rulekit.rating.store import Store, response_key, rule_key
from tests.annotating import (
    RULES,
    HashJudge,
    rate_all,
    rate_until_full,
    rate_until_step,
    some_pairs,
)
from tests.faulty_server import Server, serve
from tests.tiny_judge import first_token_distribution, save_tiny_judge

CELLS = len(RULES)


@pytest.fixture(scope="module")
def processes():
    """Processes forked from one that has imported everything: quick to start, safe to kill."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.annotating"])
    return context


def start(context, target, *arguments):
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=target, args=(*arguments, theirs))
    process.start()
    theirs.close()
    return process, mine


def drained(pipe) -> list:
    """What was sent whole: a kill may cut the last message (OSError) or come between two."""
    out = []
    try:
        while True:
            out.append(pipe.recv())
    except (EOFError, OSError):
        return out


def expected(n: int) -> rk.Scores:
    """Scores of `some_pairs(n)` straight from the judge."""
    pairs, judge = some_pairs(n), HashJudge()
    a, b = (judge.rate(pairs["prompt"], pairs[c], RULES) for c in ("response_a", "response_b"))
    return rk.Scores(a[..., 2] - a[..., 0], b[..., 2] - b[..., 0])


def assert_whole(folder, n: int) -> None:
    """Every rating of `some_pairs(n)` is there, right, and once."""
    judge = HashJudge()
    with Store(folder, judge.identity) as store:
        n_responses = n + (n + 1) // 2
        assert len(store) == n_responses * CELLS
        store.verify()
        scores = annotate(some_pairs(n), RULES, judge, store)
    assert not judge.asked
    assert np.array_equal(scores.a, expected(n).a)
    assert np.array_equal(scores.b, expected(n).b)


# Kills, full disk, several writers, damage ---------------------------------------------------------


def test_fifty_kills_at_random_moments_lose_at_most_the_batch_in_flight(processes, tmp_path):
    rng = np.random.default_rng(0)
    # Each process lives at most 0.04 s of work, ten calls of the judge, so that fifty of them
    # cannot do the 525 batches; a machine that stalls may let one finish all the same.
    n, per_batch, kills, before = 2800, 8 * CELLS, 0, 0
    for _ in range(55):
        process, pipe = start(processes, rate_all, tmp_path, n, 150, 0.004, 0.0, None)
        assert pipe.poll(60), "the process did not begin"
        process.join(rng.uniform(0, 0.04))
        process.kill()
        process.join()
        told = drained(pipe) or [0]  # cut in the result of a run that found nothing to rate
        if isinstance(told[-1], tuple):  # it was done before the kill
            continue
        kills += 1
        with Store(tmp_path, HashJudge.identity) as store:
            assert (
                before + told[-1] * per_batch <= len(store) <= before + (told[-1] + 1) * per_batch
            )
            before = len(store)
        if kills == 50:
            break
    assert kills == 50
    process, pipe = start(processes, rate_all, tmp_path, n, 150, 0.0, 0.0, None)
    drained(pipe)
    process.join()
    assert_whole(tmp_path, n)


def test_a_kill_at_any_step_on_the_disk_loses_at_most_the_batch_in_flight(processes, tmp_path):
    n, step, done = 16, 0, False  # three batches; the second and the third are merged
    while not done:
        step += 1
        folder = tmp_path / str(step)
        process, pipe = start(processes, rate_until_step, folder, n, 150, step)
        told = drained(pipe)
        process.join()
        done = told[-1] == "done"
        if not done:
            assert process.exitcode == -9
            with Store(folder, HashJudge.identity) as store:
                kept, batches = len(store), told[-1]
                assert kept in (batches * 8 * CELLS, (batches + 1) * 8 * CELLS)
            annotate(some_pairs(n), RULES, HashJudge(), folder)
        assert_whole(folder, n)
    assert step > 20, step


@pytest.mark.parametrize(
    ("compact_at", "limit"), [(10**6, 30_000), (400, 20_000)], ids=["in a log", "in a merge"]
)
def test_a_limit_on_file_sizes_stops_with_its_name_and_loses_nothing(
    processes, tmp_path, compact_at, limit
):
    process, pipe = start(processes, rate_until_full, tmp_path, 600, compact_at, limit)
    [(error, calls, kept), asked_after] = drained(pipe)
    process.join()
    assert error == "File too large"
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the torn batch was taken back, so none is passed over
        Store(tmp_path, HashJudge.identity).close()
    assert kept >= (calls - 1) * 8 * CELLS > 0
    assert asked_after == 900 * CELLS - kept  # the same store goes on where there is room again
    assert_whole(tmp_path, 600)


def test_a_full_disk_loses_nothing_and_goes_on_where_there_is_room_again(tmp_path):
    """A real one: a file system of 640 KiB in memory, where the machine lets tests mount one."""
    mount = f"mount -t tmpfs -o size=640k none {tmp_path}"
    if subprocess.run(["unshare", "-rm", "sh", "-c", mount], check=False).returncode:
        pytest.skip("needs to mount a file system in a namespace of its own")
    command = f"{mount} && exec {sys.executable} -m tests.annotating {tmp_path}"
    root = Path(__file__).parents[1]
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", command],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    )
    failed, calls, kept, asked_after, total = map(int, done.stdout.split())
    assert failed == errno.ENOSPC
    assert kept > 0
    assert asked_after == 900 * CELLS - kept
    assert total == 900 * CELLS
    assert calls > 2


def test_two_writers_at_once_share_the_work_and_agree_on_every_rating(processes, tmp_path):
    n, barrier = 600, processes.Barrier(2)
    runs = [
        start(processes, rate_all, tmp_path, n, 700, 0.005, noise, barrier) for noise in (0.0, 0.25)
    ]
    (rated_1, a_1, b_1), (rated_2, a_2, b_2) = (drained(pipe)[-1] for _, pipe in runs)
    for process, _ in runs:
        process.join()
    with Store(tmp_path, HashJudge.identity) as store:
        assert len(store) == 900 * CELLS
        store.verify()
        judge = HashJudge()
        scores = annotate(some_pairs(n), RULES, judge, store)
    assert not judge.asked
    assert rated_1 > 0
    assert rated_2 > 0
    assert 900 * CELLS <= rated_1 + rated_2 < 1200 * CELLS  # shared, not done twice
    # The judges disagree: what each writer goes on with is the rating that was first.
    for a, b in ((a_1, b_1), (a_2, b_2)):
        assert np.array_equal(a, scores.a)
        assert np.array_equal(b, scores.b)


def filled(folder, n: int = 60, compact_at: int = 10**6) -> None:
    with Store(folder, HashJudge.identity, compact_at=compact_at) as store:
        annotate(some_pairs(n), RULES, HashJudge(), store, batch=8)


def test_a_log_cut_anywhere_keeps_its_whole_batches(tmp_path):
    filled(tmp_path / "whole")
    log = next((tmp_path / "whole").rglob("*.log")).read_bytes()
    size = 16 + 8 * CELLS * 48
    cuts = {0, 1, 15, 16, 17, size - 1, size, size + 1, len(log) - 1}
    cuts |= set(np.random.default_rng(1).integers(0, len(log), 20).tolist())
    for cut in sorted(cuts):
        folder = tmp_path / str(cut)
        filled(folder)
        next(folder.rglob("*.log")).write_bytes(log[:cut])
        with Store(folder, HashJudge.identity) as store:
            assert len(store) == cut // size * 8 * CELLS
            annotate(some_pairs(60), RULES, HashJudge(), store)
            store.compact()
        assert_whole(folder, 60)


def test_a_damaged_place_in_a_log_costs_its_batch_alone_and_is_reported(tmp_path):
    filled(tmp_path)
    log = next(tmp_path.rglob("*.log"))
    data = bytearray(log.read_bytes())
    data[16 + 8 * CELLS * 48 + 500] ^= 1
    log.write_bytes(data)
    with (
        pytest.warns(UserWarning, match="damaged bytes passed over"),
        Store(tmp_path, HashJudge.identity) as store,
    ):
        assert len(store) == (90 - 8) * CELLS


def test_a_short_or_altered_part_is_named_not_believed(tmp_path):
    filled(tmp_path, compact_at=1)
    column = next(tmp_path.rglob("part-*/p"))
    whole = column.read_bytes()
    column.write_bytes(whole[:-1])
    with pytest.raises(ValueError, match=r"part-\w+/p has \d+ bytes; allowed: \d+"):
        Store(tmp_path, HashJudge.identity)
    column.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    with Store(tmp_path, HashJudge.identity) as store, pytest.raises(ValueError, match="damaged"):
        store.verify()


def test_a_writer_goes_on_after_another_has_merged_its_log_away(tmp_path):
    responses = keys([response_key("q", str(i)) for i in range(30)])
    rules = keys([rule_key(t) for t in RULES.texts])
    p = np.full((30, CELLS, 3), 1 / 3, np.float32)
    first, second = Store(tmp_path, "j"), Store(tmp_path, "j")
    assert first.add(responses[:10], rules, p[:10]) == 10 * CELLS
    second.compact()
    assert not list(tmp_path.rglob("*.log"))
    assert first.add(responses[5:20], rules, p[5:20]) == 10 * CELLS
    second.compact()
    second.compact()
    assert first.add(responses, rules, p) == 10 * CELLS
    assert len(first) == len(second) == 30 * CELLS


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4), st.booleans()), max_size=40),
    st.integers(1, 12),
)
@settings(max_examples=40, deadline=None)
def test_any_order_of_additions_and_merges_reads_as_a_dictionary(steps, compact_at):
    import tempfile

    responses = keys([response_key("q", str(i)) for i in range(10)])
    rules = keys([rule_key(str(j)) for j in range(5)])
    truth = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        Store(folder, "j", compact_at=compact_at) as store,
    ):
        for number, (i, j, merge) in enumerate(steps):
            value = np.float32([number / 64, 1 - number / 64, 0])
            added = store.add(responses[[i]], rules[[j]], value[None, None])
            assert added == ((i, j) not in truth)
            truth.setdefault((i, j), value)
            if merge:
                store.compact()
        found = store.get(responses, rules)
        assert len(store) == len(truth)
    for (i, j), value in truth.items():
        assert np.array_equal(found[i, j], value)
    assert np.isnan(found[..., 0]).sum() == 50 - len(truth)


def test_keys_that_end_in_zero_bytes_are_found(tmp_path):
    responses = keys([b"a" + bytes(15), b"a" + bytes(14) + b"\1", bytes(16)])
    p = np.float32([[[1, 0, 0]], [[0, 1, 0]], [[0, 0, 1]]])
    with Store(tmp_path, "j", compact_at=1) as store:
        store.add(responses, keys([bytes(16)]), p)
        assert np.array_equal(store.get(responses, keys([bytes(16)])), p)


@pytest.mark.parametrize("wrong", [[0.5, 0.5, 0.5], [1.5, -0.5, 0], [np.nan, 0.5, 0.5]])
def test_what_is_no_distribution_is_refused(tmp_path, wrong):
    with (
        Store(tmp_path, "j") as store,
        pytest.raises(ValueError, match=r"response 0, rule 0 .* sum 1"),
    ):
        store.add(keys([bytes(16)]), keys([bytes(16)]), np.float32(wrong)[None, None])


# Annotate ------------------------------------------------------------------------------------------


def test_a_response_of_several_pairs_is_rated_once_and_the_ledger_adds_up(tmp_path):
    judge, ledger = HashJudge(), Ledger()
    scores = rk.annotate(some_pairs(40), RULES, judge, tmp_path, price=0.5, ledger=ledger)
    assert len(judge.asked) == len(set(judge.asked)) == 60 * CELLS == ledger.rated
    assert (ledger.plain, ledger.repeated, ledger.stored) == (80 * CELLS, 20 * CELLS, 0)
    assert ledger.cost == 0.5 * ledger.rated
    assert np.array_equal(scores.a, expected(40).a)
    assert scores.rule_ids == tuple(RULES.ids)
    assert 0 <= scores.relevance.min() <= scores.relevance.max() <= 1


def test_a_changed_rule_is_rated_anew_and_no_other(tmp_path):
    rk.annotate(some_pairs(20), RULES, HashJudge(), tmp_path)
    texts = [*RULES.texts[:3], "The response keeps another promise.", *RULES.texts[4:]]
    changed, judge = rk.RuleSet.from_texts(reversed(texts)), HashJudge()
    rk.annotate(some_pairs(20), changed, judge, tmp_path)
    assert {rule for _, _, rule in judge.asked} == {texts[3]}
    assert len(judge.asked) == 30


def test_another_judge_shares_nothing_and_a_store_takes_its_own_judge_only(tmp_path):
    rk.annotate(some_pairs(4), RULES, HashJudge(), tmp_path)
    other = HashJudge()
    other.identity = "another revision"
    rk.annotate(some_pairs(4), RULES, other, tmp_path)
    assert len(other.asked) == 6 * CELLS
    with Store(tmp_path, "a third") as store, pytest.raises(ValueError, match="store is of 'a th"):
        rk.annotate(some_pairs(4), RULES, other, store)


def test_failed_ratings_are_counted_and_asked_for_again_alone(tmp_path):
    class Weak(HashJudge):
        weak = True

        def rate(self, *arguments):
            p = super().rate(*arguments)
            if self.weak:
                p[0, 1] = np.nan
            return p

    judge, ledger = Weak(), Ledger()
    with pytest.raises(RuntimeError, match=f"2 of {15 * CELLS} ratings failed"):
        rk.annotate(some_pairs(10), RULES, judge, tmp_path, batch=8, ledger=ledger)
    assert (ledger.failed, ledger.rated) == (2, 15 * CELLS - 2)
    judge.weak, judge.asked = False, []
    assert np.array_equal(rk.annotate(some_pairs(10), RULES, judge, tmp_path).a, expected(10).a)
    assert len(judge.asked) == 2


def test_an_interrupt_keeps_what_the_judge_had_of_its_batch(tmp_path):
    class Slow(HashJudge):
        last = None

        def rate(self, *arguments):
            p = super().rate(*arguments)
            if self.calls == 2:
                p[4:] = np.nan
                self.last = Labelled  # anything with `probabilities`
                self.last.probabilities = p
                raise KeyboardInterrupt
            return p

    with pytest.raises(KeyboardInterrupt):
        rk.annotate(some_pairs(20), RULES, Slow(), tmp_path, batch=8)
    with Store(tmp_path, HashJudge.identity) as store:
        assert len(store) == 12 * CELLS


# Adaptive and anytime ------------------------------------------------------------------------------


class Named:
    """Names rules at random, always the same ones."""

    def select(self, pairs, k):
        rng = np.random.default_rng(3)
        order = np.argsort(rng.random((len(pairs), CELLS)), axis=1)[:, :k]
        return rk.Selection(order, "named", CELLS)


def test_only_the_named_rules_are_rated_and_the_label_is_that_of_a_full_rating(tmp_path):
    pairs, judge, ledger = some_pairs(40), HashJudge(), Ledger()
    rated = rk.annotate_adaptive(pairs, RULES, judge, tmp_path, Named(), 3, ledger=ledger)
    counts = [getattr(ledger, n) for n in ("repeated", "not_named", "stored", "rated", "failed")]
    assert sum(counts) == ledger.plain == ledger.table()["ratings"][0]
    assert len(judge.asked) == len(set(judge.asked)) == ledger.rated <= 40 * 2 * 3
    full = rk.label(expected(40), rated.selection)
    assert np.array_equal(rated.labels().preference, full.preference)
    assert np.allclose(rated.labels().margin, full.margin)


def test_anytime_stops_when_sure_and_matches_the_curve_of_a_full_rating(tmp_path):
    pairs, full = some_pairs(60), expected(60)
    order = Named().select(pairs, CELLS)
    judge, ledger = HashJudge(), Ledger()
    labels = rk.annotate_anytime(
        pairs, RULES, judge, tmp_path, Named(), 0.7, beta=2.0, ledger=ledger
    )
    assert len(judge.asked) == len(set(judge.asked)) == ledger.rated < 90 * CELLS
    margins = np.cumsum(np.take_along_axis(full.discrepancy, order.indices, 1), axis=1)
    for i, n in enumerate(labels.n_rated):
        confidence = 1 / (1 + np.exp(-2 * abs(margins[i])))
        assert (confidence[: n - 1] < 0.7).all()
        assert n == CELLS or confidence[n - 1] >= 0.7
        assert labels.margin[i] == pytest.approx(margins[i, n - 1], abs=1e-5)
    curve = rk.rating.cost_curve(
        full, {"named": order}, pairs["preference"], thresholds=[0.7], beta=2.0
    )
    row = curve.filter(stop="confidence").row(0, named=True)
    assert row["rules"] == pytest.approx(labels.n_rated.mean())
    assert row["value"] == pytest.approx((1 + labels.preference.mean()) / 2)
    last = curve.filter(stop="first k").row(-1, named=True)
    assert (last["cost"], last["rules"]) == (1.0, CELLS)
    assert rk.plots.accuracy_against_cost(curve, "title").to_dict()


# Export --------------------------------------------------------------------------------------------


def test_the_data_set_folder_holds_every_rating_and_a_card(tmp_path):
    pairs = some_pairs(10)
    scores = annotate(pairs, RULES, HashJudge(), tmp_path / "store")
    with Store(tmp_path / "store", HashJudge.identity) as store:
        folder = export.write_dataset(tmp_path / "set", pairs, RULES, store)
    front = yaml.safe_load((folder / "README.md").read_text().split("---")[1])
    tables = {c["config_name"]: pl.read_parquet(folder / c["data_files"]) for c in front["configs"]}
    assert {n: len(t) for n, t in tables.items()} == {
        "ratings": 15 * CELLS,
        "responses": 15,
        "pairs": 10,
        "rules": CELLS,
    }
    wide = tables["ratings"].pivot("rule_id", index="response_id", values="score")
    a = tables["pairs"].join(
        wide, left_on="response_id_a", right_on="response_id", maintain_order="left"
    )
    assert np.array_equal(a.select(RULES.ids).to_numpy(), scores.a)


def test_the_data_set_folder_loads_with_datasets(tmp_path):
    datasets = pytest.importorskip("datasets")
    annotate(some_pairs(10), RULES, HashJudge(), tmp_path / "store")
    with Store(tmp_path / "store", HashJudge.identity) as store:
        folder = str(export.write_dataset(tmp_path / "set", some_pairs(10), RULES, store))
    for name, n in (("ratings", 15 * CELLS), ("responses", 15), ("pairs", 10), ("rules", CELLS)):
        found = datasets.load_dataset(folder, name, split="train", cache_dir=str(tmp_path / "c"))
        assert len(found) == n


# Judge quality -------------------------------------------------------------------------------------


def labelled(n: int = 240, rules: int = 3, seed: int = 0) -> tuple[np.ndarray, Labelled]:
    """Probabilities of a calibrated judge and labels drawn from them, four responses a prompt."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet([0.7, 0.7, 0.7], (n, rules))
    draw = rng.random((n, rules, 1))
    truth = (draw > p.cumsum(axis=2)).sum(axis=2) - 1
    names = [f"r{i // 4}" for i in range(n)], [str(i) for i in range(n)]
    return p, Labelled(*names, rk.RuleSet.from_texts(["one", "two", "three"][:rules]), truth)


def test_quality_has_the_figures_of_independent_computations():
    p, data = labelled()
    table = quality.judge_quality(p, data).filter(rule="all")
    row = {r["figure"]: r for r in table.iter_rows(named=True)}
    relevant = data.scores != 0
    from sklearn.metrics import roc_auc_score

    score = (p[..., 2] - p[..., 0])[relevant]
    assert row["satisfied_auc"]["value"] == pytest.approx(
        roc_auc_score(data.scores[relevant] > 0, score)
    )
    assert row["kappa"]["value"] == pytest.approx(cohen_kappa(p.argmax(2) - 1, data.scores))
    assert row["relevant_calibration"]["value"] == pytest.approx(
        calibration_error(1 - p[..., 1].ravel(), relevant.ravel())
    )
    assert row["abstention"]["value"] == pytest.approx((p.argmax(2) == 1)[relevant].mean())
    for r in row.values():
        assert r["low"] <= r["value"] <= r["high"]
    # Calibrated by construction: the error is what chance leaves.
    assert row["relevant_calibration"]["value"] < 2.5 * row["relevant_calibration"]["reference"]


def test_a_perfect_judge_is_perfect_and_a_rule_without_cases_has_no_figure():
    _, data = labelled()
    scores = data.scores.copy()
    scores[:, 2] = 0
    data = Labelled(data.prompts, data.responses, data.rules, scores)
    table = quality.judge_quality(np.eye(3)[scores + 1], data)
    value = {(r["rule"], r["figure"]): r["value"] for r in table.iter_rows(named=True)}
    assert value["all", "satisfied_auc"] == value["all", "kappa"] == 1
    assert value["all", "abstention"] == value["all", "satisfied_calibration"] == 0
    assert value["r002", "satisfied_auc"] is value["r002", "kappa"] is None
    assert len(quality.by_rule(table)) == 4


def test_the_interval_of_an_auc_covers_it_with_few_cases_and_keeps_width_at_one():
    rng = np.random.default_rng(0)
    truth = 0.9213503964748574  # Φ(2 / √2): two normals two standard deviations apart
    covered = 0
    for _ in range(400):
        above, below = rng.normal(2, 1, 8), rng.normal(0, 1, 12)
        value = (above[:, None] > below).mean()
        low, high = quality.newcombe(value, 8, 12)
        covered += low <= truth <= high
    assert covered / 400 > 0.92
    low, high = quality.newcombe(1.0, 2, 2)
    assert high == 1
    assert 0.1 < low < 0.6
    assert quality.newcombe(0.0, 2, 2) == pytest.approx((0, 1 - low))


# Command line --------------------------------------------------------------------------------------


def test_the_command_line_rates_resumes_exports_and_checks(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    some_pairs(6).write_ndjson("pairs.jsonl")
    RULES.write("rules.yaml")
    command = ["annotate", "pairs.jsonl", "--rules", "rules.yaml", "--export", "set"]
    assert main(command) == 0
    assert f"{9 * CELLS} ratings made" in capsys.readouterr().out
    assert main(command) == 0
    assert f"0 ratings made (0 a second), {9 * CELLS} found" in capsys.readouterr().out
    assert rk.Scores.read("annotated/scores.parquet").n_rules == CELLS
    ledger = json.loads((tmp_path / "annotated/ledger.json").read_text())
    assert ledger["judge"].startswith("encoder:")
    assert (tmp_path / "set/README.md").is_file()
    assert main(["annotate", "--check", "--split", "validation", "--out", "checked"]) == 0
    shown = capsys.readouterr().out
    assert "satisfied_auc" in shown
    assert "no-violence-encouragement" in shown
    assert set(pl.read_parquet("checked/quality.parquet")["figure"]) == set(quality.FIGURES)


SERVER = ["embedded", "--judge", "server", "-o", "model", "m", "-o", "base_url", "http://h/v1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no pairs; allowed: a file, or one of embedded"),
        (["nothing.jsonl"], "no such file"),
        (["embedded", "--judge", "nobody"], "unknown judge 'nobody'"),
        (["embedded", "--judge", "recorded"], "judge 'recorded' replays pairs"),
        (["embedded", "--judge", "encoder", "-o", "model", "x"], "judge 'encoder'"),
        (
            ["embedded", "--judge", "local", "-o", "foo", "3"],
            "no option 'foo'; allowed: model, rev",
        ),
        (["embedded", "--judge", "server", "-o", "model", "m"], "judge 'server' needs base_url"),
        ([*SERVER, "-o", "limits", "{foo: 1"], "-o limits: '{foo: 1' is no YAML"),
        ([*SERVER, "-o", "limits", "{foo: 1}"], "limits has no 'foo'; allowed: concurrency"),
        (
            ["embedded", "--judge", "local", "-o", "model", "./none"],
            "model: no such folder: ./none",
        ),
        (["embedded", "--until", "0.9"], "--until needs --adapter"),
        (["embedded", "-k", "3"], "-k needs --adapter"),
        (["embedded", "--adapter", "x", "--until", "0.9", "-k", "3"], "allowed: --max-rules"),
        (["embedded", "--adapter", "x", "--step", "2"], "--step needs --until"),
        (["embedded", "--adapter", "x.npz"], "no such file: x.npz"),
        (["embedded", "--adapter", "rules.yaml"], "rules.yaml: no Rule Adapter; allowed: a file"),
        (["embedded", "--rules", "none.yaml"], "no such file: none.yaml"),
        (["--check", "--rules", "x.yaml"], "--check embedded takes no --rules"),
        (["--check", "nothing.jsonl"], "no such file: nothing.jsonl; allowed: a file, or one of"),
        (["--check", "--until", "0.9"], "--check takes no --until"),
    ],
)
def test_the_command_line_refuses_with_status_2(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("rules.yaml").write_text("rules: []")
    assert main(["annotate", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_rates_adaptively_with_a_trained_adapter(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pairs = some_pairs(12)
    pairs.write_ndjson("pairs.jsonl")
    RULES.write("rules.yaml")
    adapter = rk.training.train_rule_adapter(pairs, rk.select(expected(12), 3), epochs=2)
    adapter.save("adapter.npz", RULES)
    command = ["annotate", "pairs.jsonl", "--rules", "rules.yaml", "--adapter", "adapter.npz"]
    assert main([*command, "-k", "3"]) == 0
    assert "because their rules were not needed" in capsys.readouterr().out
    first = pl.read_parquet("annotated/labels.parquet")
    assert first["n_rated"].unique().to_list() == [3]
    assert main([*command, "--until", "0.55"]) == 0
    second = pl.read_parquet("annotated/labels.parquet")
    assert second.filter(pl.col("n_rated") < CELLS)["confidence"].min() >= 0.55


def test_a_local_model_and_the_same_model_behind_a_server_share_a_folder_and_no_rating(
    tmp_path, capsys, monkeypatch
):
    """The command line from end to end with a model on disk, and with a server that runs it."""
    monkeypatch.chdir(tmp_path)
    model = save_tiny_judge(tmp_path / "model")
    pairs, rules = some_pairs(3), rk.RuleSet(RULES.rules[:2])
    pairs.write_ndjson("pairs.jsonl")
    rules.write("rules.yaml")

    def by_model(body: dict) -> dict[str, float]:
        return dict(first_token_distribution(model, body["messages"])[:20])

    def scores(judge: str, *options: str) -> rk.Scores:
        command = ["annotate", "pairs.jsonl", "--rules", "rules.yaml", "--judge", judge]
        command += ["--out", judge, "--batch", "2", *options]
        assert main(command) == 0  # five different responses under two rules
        assert capsys.readouterr().out.startswith("10 ratings made")
        assert main(command) == 0
        assert capsys.readouterr().out.startswith("0 ratings made")
        return rk.Scores.read(tmp_path / judge / "scores.parquet")

    local = scores("local", "-o", "model", str(model))
    with serve(Server(by_model)) as server:
        served = scores("server", "-o", "model", "tiny", "-o", "base_url", server.url)
    assert np.abs(local.a).max() > 0.01
    np.testing.assert_allclose(served.a, local.a, atol=1e-3)  # the likeliest 20 tokens only
    np.testing.assert_allclose(served.b, local.b, atol=1e-3)
    np.testing.assert_allclose(served.relevance, local.relevance, atol=1e-3)


# Dialogues, failures, money, memory ----------------------------------------------------------------


def dialogues() -> pl.DataFrame:
    turns = [("user", "Hello"), ("assistant", "Hi there"), ("user", "How do I bake?")]
    prompt = [{"role": role, "content": content} for role, content in turns]
    rows = [("d", prompt, "Mix flour.", "No.", 1), ("s", prompt[:1], "Good day.", "No.", 1)]
    names = ("pair_id", "prompt", "response_a", "response_b", "preference")
    return rk.inputs.check_pairs(pl.DataFrame(rows, schema=names, orient="row"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return save_tiny_judge(tmp_path_factory.mktemp("tiny"))


def by_model(folder: Path):
    return lambda body: dict(first_token_distribution(folder, body["messages"])[:20])


FEW = rk.RuleSet(RULES.rules[:2])


def test_a_dialogue_is_rated_as_the_judge_itself_reads_it(tiny, tmp_path):
    pairs = dialogues()
    with serve(Server(by_model(tiny))) as server:
        served = judge_named("server", model="m", base_url=server.url, method="logprobs")
        for judge in (judge_named("local", model=tiny, device="cpu"), served):
            found, own = annotate(pairs, FEW, judge, tmp_path), judge.score(pairs, FEW)
            np.testing.assert_allclose(found.a, own.a, atol=1e-5)
            np.testing.assert_allclose(found.b, own.b, atol=1e-5)
            np.testing.assert_allclose(found.relevance, own.relevance, atol=1e-5)
            data = Labelled(
                pairs["prompt"].to_list(),
                pairs["response_a"].to_list(),
                FEW,
                np.ones((2, 2), np.float32),
            )
            p = quality.rate_labelled(judge, data, tmp_path)
            np.testing.assert_allclose(p[..., 2] - p[..., 0], own.a, atol=1e-5)


def test_a_text_that_looks_like_a_dialogue_is_not_that_dialogue():
    prompt = dialogues()["prompt"].to_list()[0]
    assert response_key(prompt, "r") != response_key(rk.inputs.prompt_text(prompt), "r")
    assert response_key(prompt[:1], "r") == response_key("Hello", "r")


def test_named_labelled_data_keep_their_dialogues():
    data = quality.labelled("embedded", "validation")
    assert {len(p) for p in data.prompts} == {1, 3}


def test_ratings_of_an_older_format_are_left_alone_and_named(tmp_path):
    old = tmp_path / sha256(HashJudge.identity)[:16]
    old.mkdir()
    (old / "judge.json").write_text(json.dumps({"identity": HashJudge.identity, "format": 1}))
    with pytest.warns(UserWarning, match=r"format 1.* are not used"):
        annotate(some_pairs(2), RULES, HashJudge(), tmp_path)


def steady(body: dict) -> dict[str, float]:
    return {"Yes": 0.6, "No": 0.3, "Irrelevant": 0.05, "Well": 0.05}


def refuses(*texts: str):
    def fault(n: int, body: dict) -> str | None:
        said = body["messages"][0]["content"]
        return "bad_request" if any(f"\n{t}\n" in said for t in texts) else None

    return fault


def judge_at(server: Server, **options):
    options = {"limits": {"retries": 0, "concurrency": 4}} | options
    return judge_named("server", model="m", base_url=server.url, method="logprobs", **options)


def test_batches_that_fail_whole_do_not_keep_the_others_from_being_rated(tmp_path):
    pairs = some_pairs(8)
    with serve(Server(steady, refuses("answer 0", "answer 0 again"))) as server:
        for asked in (12 * 2, 2 * 2):  # again only those that failed
            server.requests.clear()
            judge, ledger = judge_at(server), Ledger()
            with pytest.raises(Incomplete, match=r"4 of 24 ratings failed \(4 × HTTP 400") as gap:
                annotate(pairs, FEW, judge, tmp_path, batch=2, ledger=ledger)
            assert len(server.requests) == asked
            assert (ledger.failed, ledger.not_sent) == (4, 0)
    error = gap.value
    assert error.complete.tolist() == [False, False] + [True] * 6
    assert error.result.pair_ids == tuple(pairs["pair_id"][2:])
    assert set(error.missing["rule_id"]) == set(FEW.ids)
    assert error.missing["reason"].str.contains("context too long").all()


def test_the_command_line_writes_what_is_complete_and_lists_what_is_missing(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    some_pairs(8).write_ndjson("pairs.jsonl")
    FEW.write("rules.yaml")
    server = Server(steady, refuses("answer 3 again"))
    with serve(server):
        command = [
            "annotate",
            "pairs.jsonl",
            "--rules",
            "rules.yaml",
            "--judge",
            "server",
            "-o",
            "model",
            "m",
            "-o",
            "base_url",
            server.url,
            "--export",
            "set",
            "-o",
            "method",
            "logprobs",
        ]
        assert main(command) == 1
        said = capsys.readouterr()
        assert "1 of 8 pairs are left out" in said.err
        assert "HTTP 400" in said.err
        assert "missing.parquet" in said.err
        assert "answer mass: mean 0.950" in said.out
        ids = [f"p{i}" for i in range(8) if i != 3]
        assert list(rk.Scores.read("annotated/scores.parquet").pair_ids) == ids
        assert pl.read_parquet("set/data/pairs.parquet")["pair_id"].to_list() == ids
        missing = pl.read_parquet("annotated/missing.parquet")
        assert missing.drop("reason").rows() == [("p3", "response_b", r) for r in FEW.ids]
        server.fault = lambda n, body: None
        assert main(command) == 0
    assert not Path("annotated/missing.parquet").exists()
    assert rk.Scores.read("annotated/scores.parquet").n_pairs == 8
    # The mass of ratings that were made in the first run has survived it.
    ratings = pl.read_parquet("set/data/ratings.parquet")
    assert ratings["answer_mass"].to_list() == pytest.approx([0.95] * 24, abs=1e-6)
    assert "Answer mass: mean 0.950" in Path("set/README.md").read_text()


def test_truncation_tokens_and_answer_mass_of_all_batches_are_in_the_ledger(tiny, tmp_path):
    judge, ledger = judge_named("local", model=tiny, device="cpu", max_tokens=400), Ledger()
    pairs = some_pairs(2).with_columns(response_a=pl.lit("word " * 400))
    annotate(pairs, FEW, judge, tmp_path, batch=1, ledger=ledger)
    assert ledger.truncated == 1  # the same response in both pairs
    assert ledger.tokens_cut > 100
    assert ledger.tokens > 3 * 100
    assert ledger.mass_ratings == ledger.rated == 6
    assert 0 < ledger.answer_mass_min <= ledger.answer_mass_mean <= 1


def test_a_budget_holds_over_runs_and_a_stop_by_it_says_so(tmp_path):
    prices, pairs = {"prompt": 1000.0, "completion": 1000.0}, some_pairs(12)
    with serve(Server(steady)) as server:
        free, ledger = judge_at(server, prices=prices), Ledger()
        annotate(pairs[:4], FEW, free, tmp_path, ledger=ledger)
        budget, before = 2 * ledger.cost, len(server.requests)
        assert 0 < ledger.cost == free.spending.cost
        for _ in range(2):  # a judge of its own each, as in a new process
            judge = judge_at(server, prices={**prices, "budget": budget})
            with pytest.raises(Incomplete, match=r"not sent: the budget of .* spent by all runs"):
                annotate(pairs, FEW, judge, tmp_path, batch=1)
            assert judge.spending.earlier >= ledger.cost
        assert before < len(server.requests) <= 2 * before
        with Store(tmp_path, judge.identity) as store:
            assert store.spending()["cost"] <= budget
            assert store.spending()["rated"] == len(store)


def test_a_judge_that_stops_itself_ends_the_run_and_the_rest_counts_as_not_sent(tmp_path):
    class Stops(HashJudge):
        def rate(self, *arguments):
            if self.calls == 2:
                raise RunStopped("enough")
            return super().rate(*arguments)

    ledger = Ledger()
    with pytest.raises(Incomplete, match=f"stopped, {14 * CELLS} ratings not sent: enough") as gap:
        annotate(some_pairs(20), RULES, Stops(), tmp_path / "own", batch=8, ledger=ledger)
    assert (ledger.rated, ledger.failed, ledger.not_sent) == (16 * CELLS, 0, 14 * CELLS)
    assert set(gap.value.missing["reason"]) == {"not sent: enough"}
    with serve(Server(steady, lambda n, body: "unauthorised")) as server:
        with pytest.raises(Incomplete, match=r"12 of 12 pairs are left out") as gap:
            annotate(some_pairs(12), FEW, judge_at(server), tmp_path, batch=2)
        assert gap.value.stopped.startswith("HTTP 401")
        assert len(server.requests) <= 4


def test_what_a_batch_cost_is_noted_though_it_was_interrupted_and_a_line_was_torn(tmp_path):
    class Stopped(HashJudge):
        def rate(self, *arguments):
            if self.calls == 2:
                raise KeyboardInterrupt
            return super().rate(*arguments)

    with pytest.raises(KeyboardInterrupt):
        annotate(some_pairs(20), RULES, Stopped(), tmp_path, batch=8, price=0.5)
    log = next(tmp_path.rglob("spending.jsonl"))
    with log.open("ab") as file:
        file.write(b'\n{"run": "x", "cost": 1')
    annotate(some_pairs(20), RULES, HashJudge(), tmp_path, price=0.5)
    with Store(tmp_path, HashJudge.identity) as store:
        assert store.spending()["cost"] == 0.5 * 30 * CELLS == 0.5 * len(store)


def test_scores_are_streamed_with_few_ratings_in_memory_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr("rulekit.rating.job._CELLS", 10 * CELLS)
    pairs, asked, get = some_pairs(100), [], Store.get

    def watched(store, responses, rules):
        asked.append(len(responses) * len(rules))
        return get(store, responses, rules)

    monkeypatch.setattr(Store, "get", watched)
    path = annotate_to_folder(tmp_path / "out", pairs, RULES, HashJudge(), tmp_path, batch=8)
    assert max(asked) <= 2 * 10 * CELLS  # both responses of ten pairs
    found, truth = rk.Scores.read(path), expected(100)
    assert np.array_equal(found.a, truth.a)
    assert np.array_equal(found.b, truth.b)
    assert found.pair_ids == tuple(pairs["pair_id"])


def test_the_torn_log_of_a_killed_writer_is_read_once(tmp_path, monkeypatch):
    filled(tmp_path)
    log = next(tmp_path.rglob("*.log"))
    log.write_bytes(log.read_bytes()[:-5])
    with Store(tmp_path, HashJudge.identity) as store:
        read = []
        monkeypatch.setattr("rulekit.rating.store._parse", lambda *a: read.append(a))
        assert len(store) == len(store) == (90 - 2) * CELLS  # the last batch of two
    assert not read


def test_off_a_terminal_a_line_tells_how_far_it_is_and_tests_are_quiet(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("rulekit.rating.ledger._HEARTBEAT", 0.0)
    annotate(some_pairs(4), RULES, HashJudge(), tmp_path / "quiet")
    assert not capsys.readouterr().err
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    monkeypatch.delenv("RULEKIT_HEADLESS", raising=False)
    annotate(some_pairs(4), RULES, HashJudge(), tmp_path / "told", batch=3, price=1.0)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("36 of 72 ratings, ")
    assert lines[0].endswith("min left, cost 36 of about 72")


def test_a_file_of_labels_is_a_check_and_cells_without_one_are_skipped(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    RULES.write("rules.yaml")
    rows = [
        {"prompt": f"question {i % 12}", "response": f"answer {i}", "rule": rule, "label": label}
        for i in range(24)
        for rule, label in (
            ("r000", ("yes", "no", "irrelevant")[i % 3]),
            (RULES.texts[1], (1, -1)[i % 2]),
        )
        if i != 5 or rule == "r000"
    ]
    rows[0]["prompt"] = rows[1]["prompt"] = dialogues()["prompt"].to_list()[0]
    Path("labels.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = quality.labelled("labels.jsonl", rules="rules.yaml")
    assert data.rules.ids == ["r000", "r001"]
    assert data.scores.shape == (24, 2)
    assert np.isnan(data.scores).sum() == 1
    assert len(data.prompts[0]) == 3
    judge = HashJudge()
    p = quality.rate_labelled(judge, data, "s")
    assert len(judge.asked) == 47
    table = quality.judge_quality(p, data)
    assert table.filter(rule="all", figure="kappa")["n"].item() == 47
    assert main(["annotate", "labels.jsonl", "--check", "--rules", "rules.yaml"]) == 0
    assert "satisfied_auc" in capsys.readouterr().out
    pl.DataFrame(rows[2:]).with_columns(pl.col("label").cast(pl.String)).write_csv("labels.csv")
    assert quality.labelled("labels.csv", rules="rules.yaml").scores.shape == (23, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "perhaps"}, r"line 2: label is 'perhaps'; allowed: \+1, 0, -1, yes"),
        ({"rule": "r999"}, r"line 2: no rule 'r999'; allowed: an id of the rule set such as"),
        ({"response": ""}, "line 2: column 'response' is missing or empty; allowed: prompt,"),
        ({"prompt": 3}, "line 2: prompt is 3; allowed: a text, or messages"),
        ({}, "line 2: rule 'r000' has another label for this response already"),
    ],
)
def test_a_wrong_row_of_labels_is_named(tmp_path, change, message):
    rules = RULES.write(tmp_path / "rules.yaml")
    rows = [{"prompt": "p", "response": "r", "rule": "r000", "label": 1}]
    rows.append(rows[0] | {"label": 0} | change)
    path = tmp_path / "labels.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(ValueError, match=message):
        quality.labelled(path, rules=rules)


def test_an_adapter_of_other_rules_is_refused_and_one_without_their_hash_is_announced(tmp_path):
    pairs, selection = some_pairs(4), rk.select(expected(4), 3)
    adapter = rk.training.train_rule_adapter(pairs, selection, epochs=1)
    path = adapter.save(tmp_path / "adapter.npz", RULES)
    known = rk.training.RuleAdapter.load(path)
    assert known.rules_hash == RULES.hash
    rk.annotate_adaptive(pairs, RULES, HashJudge(), tmp_path, known)
    other = rk.RuleSet(RULES.rules[::-1])
    with pytest.raises(ValueError, match=r"trained on the rule set \w{16}…; allowed: \w{16}…"):
        rk.annotate_adaptive(pairs, other, HashJudge(), tmp_path, known)
    with pytest.warns(UserWarning, match="does not say which rules"):
        rk.annotate_adaptive(pairs, RULES, HashJudge(), tmp_path, adapter)


def test_adaptive_ratings_take_five_rules_or_all_where_there_are_fewer(tmp_path):
    class First:
        def select(self, pairs, k):
            return rk.Selection(np.tile(np.arange(k), (len(pairs), 1)), "first", 3)

    three = rk.RuleSet(RULES.rules[:3])
    rated = rk.annotate_adaptive(some_pairs(4), three, HashJudge(), tmp_path, First())
    assert rated.scores.n_rules == 3


def test_adaptive_and_anytime_give_the_complete_pairs_where_ratings_failed(tmp_path):
    class Weak(HashJudge):
        def one(self, prompt, response, rule):
            p = super().one(prompt, response, rule)
            return p * np.nan if response == "answer 3 again" else p

    pairs = some_pairs(8)
    with pytest.raises(Incomplete, match="1 of 8 pairs are left out") as gap:
        rk.annotate_adaptive(pairs, RULES, Weak(), tmp_path, Named(), 3)
    assert gap.value.complete.tolist() == [i != 3 for i in range(8)]
    assert gap.value.result.scores.n_pairs == len(gap.value.result.selection.indices) == 7
    assert len(gap.value.missing) == 3
    with pytest.raises(Incomplete) as gap:
        rk.annotate_anytime(pairs, RULES, Weak(), tmp_path, Named(), 0.6, step=2)
    whole = rk.annotate_anytime(pairs, RULES, HashJudge(), tmp_path, Named(), 0.6, step=2)
    assert np.array_equal(gap.value.result.margin, whole.margin[gap.value.complete])
    assert set(gap.value.missing["pair_id"]) == {"p3"}


def test_the_curve_counts_tokens_where_the_judge_tells_them():
    scores = expected(20)
    order = rk.select(scores, CELLS, "random", seed=1)
    curve = rk.rating.cost_curve(scores, {"random": order}, np.ones(20), tokens=(100, 10), step=4)
    row = curve.filter(stop="first k", setting=CELLS).row(0, named=True)
    assert row["tokens"] == 2 * (3 * 100 + CELLS * 10)
    assert row["token_cost"] == pytest.approx((300 + 120) / (100 + 120))
    without = rk.rating.cost_curve(scores, {"random": order}, np.ones(20))
    assert without["tokens"].null_count() == len(without)


def test_order_effects_from_the_command_line(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    some_pairs(3).write_ndjson("pairs.jsonl")
    FEW.write("rules.yaml")
    command = ["annotate", "pairs.jsonl", "--rules", "rules.yaml", "--order-effects", "2"]
    assert main([*command, "--judge", "local", "-o", "model", str(tiny)]) == 0
    table = pl.read_parquet("annotated/order_effects.parquet")
    assert len(table) == 5
    assert table["mean_difference"][0] < 1e-5
    assert "answers listed in other orders" in capsys.readouterr().out


def test_help_lists_every_judge_and_its_options(capsys):
    with pytest.raises(SystemExit):
        main(["annotate", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "server: model, base_url, template" in shown
    assert "local: model, revision" in shown
    assert "rulekit annotate pairs.jsonl --judge server" in shown
