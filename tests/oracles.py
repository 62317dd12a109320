"""Plain, slow twins of the kernels, for anyone to read."""

from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import combinations, product
from math import comb, floor, fsum, log2, prod

import numpy as np

WORD = 2**64


def top_k(criterion: np.ndarray, k: int) -> np.ndarray:
    """The k largest of each row in steps of 1e-6, ties to the lowest position."""
    steps = np.rint(criterion.astype(np.float64) * 1e6).astype(np.int64)
    return np.array([sorted(range(len(row)), key=lambda j: (-row[j], j))[:k] for row in steps])


def random_order(seed: int, row: int, n_rules: int) -> list[int]:
    """Rules of one row by the first 21 bits of their SplitMix64 numbers, the largest first."""
    numbers = []
    for j in range(n_rules):
        z = (seed + (row * n_rules + j) * 0x9E3779B97F4A7C15) % WORD
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % WORD
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % WORD
        numbers.append((z ^ (z >> 31)) >> 43)
    return sorted(range(n_rules), key=lambda j: (-numbers[j], j))


def margins(a: np.ndarray, b: np.ndarray, indices: np.ndarray) -> list[float]:
    """Sum of a - b over the chosen rules of each row, one rule after the other."""
    return [sum(float(a[i, j]) - float(b[i, j]) for j in row) for i, row in enumerate(indices)]


def plane(votes, side: int) -> list[int]:
    """Words of 64 bits, the lowest bit first, that mark the votes equal to `side`."""
    words = [votes[i : i + 64] for i in range(0, len(votes), 64)]
    return [sum(2**bit for bit, v in enumerate(word) if v == side) for word in words]


def table(u, v) -> list[list[int]]:
    """How often each of the votes -1, 0, +1 of u meets each of v, (3, 3)."""
    met = list(zip(map(int, u), map(int, v), strict=True))
    return [[met.count((x, y)) for y in (-1, 0, 1)] for x in (-1, 0, 1)]


def exact_tail(table: list[list[int]]) -> float:
    """P(information ≥ that of this 2 × 2 table) at its margins, in whole numbers: Π c^c orders."""
    (a, b), (c, d) = table
    row, column, n = a + b, a + c, a + b + c + d
    tail = 0
    for x in range(max(0, row + column - n), min(row, column) + 1):
        cells = x, row - x, column - x, n - row - column + x
        if prod(z**z for z in cells) >= prod(z**z for z in (a, b, c, d)):
            tail += comb(row, x) * comb(n - row, column - x)
    return float(Fraction(tail, comb(n, column)))


def excess(x: float) -> Decimal:
    """(1 + x) log(1 + x) - x, digits enough for the square of the least x tried."""
    with localcontext(prec=700):
        y = 1 + Decimal(x)
        return (y * y.ln() if y else y) - Decimal(x)


def divergence(a: Decimal, b: Decimal, prior: float) -> Decimal:
    """What an outcome of probabilities a given Y = +1, b given Y = -1 adds to the information."""
    with localcontext(prec=60):
        p = Decimal(prior)
        parts = [(p * a, a), ((1 - p) * b, b)]
        both = sum(weight for weight, _ in parts)
        return sum(weight * (x / both).ln() for weight, x in parts if weight)


def patterns(p, weights) -> list[tuple[float, float, float]]:
    """P(votes | +1), P(votes | -1) and weighted sum of every pattern; bit j set is a vote of -1."""
    found = []
    for bits in range(2 ** len(p)):
        votes = [-1 if bits >> j & 1 else 1 for j in range(len(p))]
        a = prod(q if v == 1 else 1 - q for q, v in zip(p, votes, strict=True))
        b = prod(q if v == -1 else 1 - q for q, v in zip(p, votes, strict=True))
        found.append((a, b, sum(w * v for w, v in zip(weights, votes, strict=True))))
    return found


def label_masses(p, weights, bias: float, tie: float) -> np.ndarray:
    """P(label | Y) of the labels -1, 0, +1, and the difference, rows Y = +1, Y = -1, (3, 3)."""
    masses = np.zeros((3, 3))
    for a, b, total in patterns(p, weights):
        margin = bias + total
        masses[:, 1 + int(margin > tie) - int(margin < -tie)] += a, b, a - b
    return masses


def sum_distribution(steps_of_votes: list[list[tuple[int, float]]], reach: int) -> np.ndarray:
    """Law of the sum of independent whole steps, each a list of (step, chance), -reach to reach."""
    law = {0: 1.0}
    for steps in steps_of_votes:
        after = {}
        for (total, mass), (step, chance) in product(law.items(), steps):
            after[total + step] = after.get(total + step, 0.0) + mass * chance
        law = after
    return np.array([law.get(i, 0.0) for i in range(-reach, reach + 1)])


def best_with_first(first: int, epsilon, k: int) -> tuple[Decimal, list[list[int]]]:
    """Largest I(votes; Y) in nats of k rules of which `first` is the lowest, and who reach it."""
    found = {
        (first, *rest): exact_votes([(1 + epsilon[j]) / 2 for j in (first, *rest)], 0.5)
        for rest in combinations(range(first + 1, len(epsilon)), k - 1)
    }
    best = max(found.values())
    return best, [list(subset) for subset, value in found.items() if best - value < 1e-15]


def votes_and_labels(
    accuracy: list[float], prior: float, weights: list[float], bias: float = 0.0
) -> tuple[float, float, float]:
    """I(votes; Y) and I(label; Y) in bits and the label's accuracy, pattern by pattern."""
    patterns, labels, hits = [], {}, []
    for votes in product((1, -1), repeat=len(accuracy)):
        joint = [
            (prior if y == 1 else 1 - prior)
            * prod(p if v == y else 1 - p for p, v in zip(accuracy, votes, strict=True))
            for y in (-1, 1)
        ]
        margin = bias + fsum(w * v for w, v in zip(weights, votes, strict=True))
        label = 0 if abs(margin) < 1e-9 else 1 if margin > 0 else -1
        patterns.append(joint)
        labels.setdefault(label, []).append(joint)
        hits += [j * (1 + label * y) / 2 for j, y in zip(joint, (-1, 1), strict=True)]
    pooled = [[fsum(column) for column in zip(*rows, strict=True)] for rows in labels.values()]

    def information(outcomes: list[list[float]]) -> float:
        y = (1 - prior, prior)
        cells = [(j, sum(o), q) for o in outcomes for j, q in zip(o, y, strict=True) if j > 0]
        return fsum(j * (log2(j) - log2(both) - log2(q)) for j, both, q in cells)

    return information(patterns), information(pooled), fsum(hits)


def exact_votes(accuracy: list[float], prior: float) -> Decimal:
    """I(votes; Y) in nats to fifty digits, pattern by pattern, of exactly these floats."""
    with localcontext(prec=60):
        y, total = (1 - Decimal(prior), Decimal(prior)), Decimal(0)
        given = [(Decimal(1), Decimal(1))]  # of each pattern: P(votes | -1), P(votes | +1)
        for p in map(Decimal, accuracy):
            q = 1 - p
            given = [pair for b, a in given for pair in ((b * q, a * p), (b * p, a * q))]
        for pattern in given:
            both = sum(g * w for g, w in zip(pattern, y, strict=True))
            for g, w in zip(pattern, y, strict=True):
                if g * w > 0:
                    total += g * w * (g / both).ln()
        return total


def information(x, y) -> float:
    """Plug-in mutual information in nats, one pair of values after the other."""
    x, y = list(map(str, x)), list(map(str, y))
    n, total = len(x), 0.0
    for u in sorted(set(x)):
        for v in sorted(set(y)):
            both = sum(a == u and b == v for a, b in zip(x, y, strict=True)) / n
            if both:
                total += both * np.log(both / (x.count(u) / n) / (y.count(v) / n))
    return total


def shrinkage_information(table: np.ndarray) -> float:
    """Hausser and Strimmer's estimate in nats, from counts (X, Y) whose margins are all positive."""
    n, cells = table.sum(), table.size
    p = table / n
    share = (1 - (p**2).sum()) / ((n - 1) * ((1 / cells - p) ** 2).sum())
    p = min(1.0, share) / cells + (1 - min(1.0, share)) * p
    return float((p * np.log(p / p.sum(1, keepdims=True) / p.sum(0, keepdims=True))).sum())


def mean_of_place(before: int, equal: int, mine: int, wanted: int, weight) -> float:
    """Mean of weight[before + p], p the place of the `wanted`-th of `mine` among `equal` in any order."""
    places = range(wanted, equal - mine + wanted + 1)
    orders = {p: comb(p - 1, wanted - 1) * comb(equal - p, mine - wanted) for p in places}
    shares = {p: float(Fraction(count, comb(equal, mine))) for p, count in orders.items()}
    return fsum(share * weight[before + p] for p, share in shares.items())


def neighbour_terms(x, y, k: int, bounded: bool, weight) -> list[tuple[float, bool]]:
    """Of each point: what it adds to the sum of `class_walk`, and whether it is tied.

    From the point outwards, one distance after the other, until k of its class are found; or,
    bounded, until as many are passed as hold k of a class that is spread as all points are.
    """
    found = []
    for i, (value, c) in enumerate(zip(x, y, strict=True)):
        others = [j for j in range(len(x)) if j != i]
        size = sum(label == c for label in y)
        wanted = min(k, size - 1)
        most = -(-wanted * len(x) // size)
        passed, mine, tied = 0, 0, False
        for distance in sorted({abs(x[j] - value) for j in others}):
            group = [j for j in others if abs(x[j] - value) == distance]
            members = sum(y[j] == c for j in group)
            if mine + members >= wanted and distance == 0:
                term, tied = weight[members + 1] - weight[len(group) + 1], True
                break
            if mine + members >= wanted:
                mean = mean_of_place(passed, len(group), members, wanted - mine, weight)
                term = weight[wanted] - mean
                break
            passed, mine = passed + len(group), mine + members
            if bounded and passed + 1 >= most and mine:
                term = weight[mine + 1] - weight[passed + 1]
                break
            if bounded and passed + 1 >= most:
                wanted = 1
        found.append((float(term), tied))
    return found


def class_information(x: np.ndarray, y: np.ndarray, k: int, bounded: bool) -> float:
    """Ross' estimate in nats, over all distances, ties in all orders; bounded it is ``mixed``."""
    from scipy.special import digamma

    sizes = {c: int((y == c).sum()) for c in set(y.tolist())}
    kept = np.array([sizes[c] > 1 for c in y.tolist()])
    x, y = x[kept], y[kept]
    terms = neighbour_terms(x, y.tolist(), k, bounded, digamma(np.arange(len(x) + 1.0)))
    share = np.mean([digamma(sizes[c]) for c in y.tolist()])
    return float(digamma(len(x)) - share + np.mean([term for term, _ in terms]))


def pair_information(x, y, near_x, near_y, k: int) -> float:
    """``mixed`` of two quantities in nats: x and y tell what is equal, near_x and near_y how far."""
    from scipy.special import digamma

    terms = []
    for i in range(len(x)):
        atom = int(((x == x[i]) & (y == y[i])).sum())
        if atom > k:
            of_x, of_y = int((x == x[i]).sum()), int((y == y[i]).sum())
        else:
            atom, radius = k, joint_radius(near_x, near_y, i, k)
            of_x, of_y = nearer(near_x, near_x[i], radius), nearer(near_y, near_y[i], radius)
        terms.append(digamma(atom) - digamma(of_x) - digamma(of_y))
    return float(digamma(len(x)) + np.mean(terms))


def nearer(values: np.ndarray, x: float, radius: float) -> int:
    """How many values are nearer to x than the radius; at radius 0, how many are equal to it."""
    return sum(abs(v - x) < radius or v == x for v in values)


def joint_radius(x: np.ndarray, y: np.ndarray, i: int, k: int) -> float:
    """Distance max(|Δx|, |Δy|) of point i to its k-th neighbour."""
    others = [j for j in range(len(x)) if j != i]
    return sorted(max(abs(x[j] - x[i]), abs(y[j] - y[i])) for j in others)[k - 1]


def gao_information(x: np.ndarray, y: np.ndarray, k: int = 3) -> float:
    """Mixed_KSG of Gao et al. (2017) in nats, as their Python does it: one point after another.

    x and y are points, (n, d) each; their log N stands where Ross and Kraskov have ψ(N).
    """
    from scipy.spatial import cKDTree
    from scipy.special import digamma

    n, both = len(x), np.hstack([x, y])
    tree, tree_x, tree_y = cKDTree(both), cKDTree(x), cKDTree(y)
    distance = [tree.query(point, k + 1, p=np.inf)[0][k] for point in both]
    total = 0.0
    for i in range(n):
        near, reach = k, distance[i] - 1e-15
        if distance[i] == 0:
            reach = 1e-15
            near = len(tree.query_ball_point(both[i], reach, p=np.inf))
        around_x = len(tree_x.query_ball_point(x[i], reach, p=np.inf))
        around_y = len(tree_y.query_ball_point(y[i], reach, p=np.inf))
        total += (digamma(near) + np.log(n) - digamma(around_x) - digamma(around_y)) / n
    return total


def steps(value: float) -> int:
    """How many millionths, rounded."""
    return floor(value * 10**6 + 0.5)


def first_largest(gain) -> int:
    """Position of the largest value in millionths, the first of those that are equal."""
    return max(range(len(gain)), key=lambda j: (steps(gain[j]), -j))


def correlation(second: np.ndarray) -> np.ndarray:
    """S_ij / √(S_ii S_jj) in [-1, 1]; 1 on the diagonal, 0 beside a rule that never votes."""
    m = len(second)
    rho = np.eye(m)
    for i, j in combinations(range(m), 2):
        size = (second[i, i] * second[j, j]) ** 0.5
        rho[i, j] = rho[j, i] = min(1.0, max(-1.0, second[i, j] / size)) if size else 0.0
    return rho


def greedy(n_rules: int, k: int, gain) -> list[int]:
    """k rules, each the first of largest gain(rule, rules chosen before)."""
    picked = []
    while len(picked) < k:
        left = [j for j in range(n_rules) if j not in picked]
        picked.append(left[first_largest([gain(j, picked) for j in left])])
    return picked


def diverse(size, rho: np.ndarray, k: int) -> list[int]:
    """Of one pair: greedily the largest size_j (1 - mean |ρ_js|) over the rules s before."""

    def gain(j: int, before: list[int]) -> float:
        return size[j] * (1 - fsum(abs(rho[j, s]) for s in before) / max(len(before), 1))

    return greedy(len(size), k, gain)


def determinantal(size, rho: np.ndarray, k: int) -> list[int]:
    """Of one pair: greedily the largest determinant of the kernel size_i ρ_ij size_j.

    Compared is the root of the factor by which a rule multiplies it: what of its size is left.
    """

    def gain(j: int, before: list[int]) -> float:
        s = [*before, j]
        now, then = (float(np.linalg.det(rho[np.ix_(r, r)])) for r in (s, before))
        return size[j] * (now / then if then > 1e-10 and now > 1e-10 * then else 0.0) ** 0.5

    return greedy(len(size), k, gain)


def given_votes(votes: np.ndarray, y: np.ndarray, chosen: list[int], j: int) -> tuple[float, int]:
    """I(v_j; Y | v_chosen) in nats, and the degrees of freedom of its test.

    A pair with its responses exchanged says the same: each is turned so that the first chosen
    rule that votes says +1. Where none votes it counts half one way and half the other, so that
    what is left to test is whether a vote goes with Y or against it.
    """
    turned = {}
    for v, label in zip(votes.tolist(), y.tolist(), strict=True):
        said = [v[s] for s in chosen]
        side = next((x for x in said if x), 0)
        for turn in [side] if side else [1, -1]:
            state = tuple(turn * x for x in said)
            turned.setdefault(state, []).append((turn * v[j], turn * label))
    total, freedom = 0.0, 0
    for state, cells in turned.items():
        v, labels = zip(*cells, strict=True)
        share = len(cells) / len(y)
        if any(state):
            freedom += (len(set(v)) - 1) * (len(set(labels)) - 1)
        else:
            share, freedom = share / 2, freedom + int(any(v))
        total += share * information(v, labels)
    return total, freedom


def greedy_conditional(votes: np.ndarray, y: np.ndarray, k: int) -> list[int]:
    """Rules of largest I(v_j; Y | v_S) less its mean under chance, while a G-test finds one."""
    from scipy.stats import chi2

    n, m = votes.shape
    picked = []
    while len(picked) < k:
        left = [j for j in range(m) if j not in picked]
        found = [given_votes(votes, y, picked, j) for j in left]
        p = [chi2.sf(2 * n * i, freedom) if freedom else 1.0 for i, freedom in found]
        if picked and min(p) * len(left) > 0.05:
            break
        picked.append(left[first_largest([i - freedom / (2 * n) for i, freedom in found])])
    return picked


def audit_errors(accuracy, n: int, rate: float, repeats: int, seed: int) -> np.ndarray:
    """False discoveries, misses and false alarms of each simulated audit, (repeats, 3)."""
    from scipy.stats import binomtest

    rng, m, rows = np.random.default_rng(seed), len(accuracy), []
    for _ in range(repeats):
        right = (rng.random((n, m)) < accuracy).sum(axis=0)
        p = [binomtest(int(r), n, 0.5, alternative="less").pvalue for r in right]
        order = sorted(range(m), key=lambda j: p[j])
        last = max((i for i in range(m) if p[order[i]] <= rate * (i + 1) / m), default=-1)
        flagged, wrong = set(order[: last + 1]), {j for j in range(m) if accuracy[j] < 0.5}
        false = len(flagged - wrong)
        rows.append(
            (
                false / len(flagged) if flagged else 0.0,
                len(wrong - flagged) / len(wrong) if wrong else 0.0,
                false / (m - len(wrong)) if len(wrong) < m else 0.0,
            )
        )
    return np.array(rows)


def triplet_sizes(second: np.ndarray, n_pairs: int) -> list[float]:
    """|μ_i| = √|S_ij S_ik / S_jk|, the median over the pairs j, k whose S_jk is not noise."""
    m = len(second)
    noise = 2 * np.sqrt(np.log(m) / n_pairs)
    sizes = []
    for i in range(m):
        ratios = [
            abs(second[i, j] * second[i, k] / second[j, k])
            for j, k in combinations([j for j in range(m) if j != i], 2)
            if abs(second[j, k]) > noise
        ]
        sizes.append(min(1.0, float(np.median(ratios)) ** 0.5) if ratios else 0.0)
    return sizes


def shrunk_means(right: np.ndarray, prior: np.ndarray, second, along: bool) -> list[float]:
    """Means of the columns: a multiple of the prior, on one side of 0, and a rest that is shrunk."""
    from scipy.integrate import quad

    n = len(right)
    mean = [fsum(column) / n for column in right.T.tolist()]
    length = fsum(p * p for p in prior)
    c = fsum(x * p for x, p in zip(mean, prior, strict=True)) / length
    error = (prior @ second @ prior / n) ** 0.5 / length
    turn = 1 if along else -1

    def law(x: float, power: int) -> float:
        return x**power * np.exp(-0.5 * ((x - turn * c) / error) ** 2)

    ends = max(0.0, turn * c - 9 * error), max(0.0, turn * c) + 9 * error
    held = turn * quad(law, *ends, args=(1,))[0] / quad(law, *ends, args=(0,))[0]
    noise = [max(1 - x * x, 0.05) / n for x in mean]
    excess = [(x - c * p) ** 2 - e for x, p, e in zip(mean, prior, noise, strict=True)]
    spread = max(0.0, fsum(excess) / len(excess))
    return [
        held * p + (x - c * p) * spread / (spread + e)
        for x, p, e in zip(mean, prior, noise, strict=True)
    ]


def penalised_logistic(right: np.ndarray, centre, variance: float) -> tuple[np.ndarray, float]:
    """Weights maximising Σ log σ(right w) - |w - centre|²/2v, by SciPy, and Laplace's evidence."""
    from scipy.optimize import minimize

    def loss(w: np.ndarray) -> float:
        return np.log1p(np.exp(-right @ w)).sum() + ((w - centre) ** 2).sum() / (2 * variance)

    def slope(w: np.ndarray) -> np.ndarray:
        return -right.T @ (1 / (1 + np.exp(right @ w))) + (w - centre) / variance

    found = minimize(loss, centre, jac=slope, method="BFGS", options={"gtol": 1e-7})
    p = 1 / (1 + np.exp(-right @ found.x))
    curvature = np.eye(len(centre)) / variance
    for row, q in zip(right, p, strict=True):
        curvature = curvature + q * (1 - q) * np.outer(row, row)
    return found.x, -found.fun - 0.5 * np.log(np.linalg.det(curvature * variance))


def one_coin_posterior(votes: np.ndarray) -> np.ndarray:
    """P(Y = +1) by EM from the majority's shares until nothing changes: one accuracy a rule."""
    cast = np.abs(votes).sum(axis=1)
    q = np.where(cast > 0, (votes > 0).sum(axis=1) / np.maximum(cast, 1), 0.5)
    for _ in range(100_000):
        right = np.where(votes > 0, q[:, None], 1 - q[:, None]) * (votes != 0)
        accuracy = right.sum(axis=0) / np.maximum((votes != 0).sum(axis=0), 1)
        accuracy = np.where((votes != 0).any(axis=0), np.clip(accuracy, 1e-9, 1 - 1e-9), 0.5)
        before, q = q, 1 / (1 + np.exp(-votes @ np.log(accuracy / (1 - accuracy))))
        if np.abs(q - before).max() < 1e-12:
            break
    return q


def answer_information(p: list[float]) -> float:
    """Bits that a yes-or-no answer tells about which of equally likely p is the true one."""
    n, told = len(p), 0.0
    yes = sum(p) / n
    for q in p:
        for own, mean in ((q, yes), (1 - q, 1 - yes)):
            if own > 0:
                told += own / n * log2(own / mean)
    return told


def label_gain(asked: list[float], pool: list[list[float]]) -> float:
    """Expected rise of the share of right labels in a pool that a yes-or-no answer brings."""
    n, gain = len(asked), 0.0
    for pair in pool:
        before = sum(pair) / n
        after = 0.0
        for answer in (asked, [1 - q for q in asked]):
            said = sum(answer) / n
            first = sum(a * b for a, b in zip(answer, pair, strict=True)) / n
            after += max(first, said - first)
        gain += after - max(before, 1 - before)
    return gain / len(pool)
