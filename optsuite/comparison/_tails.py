"""Tail probabilities of Student's t and of chi-squared for whole degrees of freedom.

Finite series of Abramowitz and Stegun, Handbook of Mathematical Functions, 26.4.4-5 and 26.7.3-4: they spare
users who only compare two nights a dependency on scipy, with which tests compare them.
"""

import math
from statistics import NormalDist

_LEAST = 1e-15  # what is less is lost in rounding


def t_tails(t: float, df: int) -> float:
    """Return the probability that |T| exceeds |t|, for Student's t with `df` degrees of freedom."""
    angle = math.atan2(abs(t), math.sqrt(df))
    sine, cosine = math.sin(angle), math.cos(angle)
    is_odd = df % 2
    term, total = (cosine if is_odd else 1.0), 0.0
    for k in range(2 + is_odd, df + 1, 2):
        total += term
        term *= cosine**2 * (k - 1) / k
    inside = 2 / math.pi * (angle + sine * total) if is_odd else sine * total
    return min(1.0, max(_LEAST, 1 - inside))


def t_limit(p: float, df: int) -> float:
    """Return the value that |T| exceeds with probability `p`, by bisection of `t_tails`."""
    low, high = 0.0, 1.0
    while t_tails(high, df) > p:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if t_tails(middle, df) > p else (low, middle)
    return high


def chi2_tail(x: float, df: int) -> float:
    """Return the probability that chi-squared with `df` degrees of freedom exceeds `x`."""
    if x <= 0:
        return 1.0
    half = x / 2
    exponents = (df / 2 - k for k in range(1, df // 2 + 1))
    terms = (r * math.log(half) - half - math.lgamma(r + 1) for r in exponents)
    upper = math.erfc(math.sqrt(half)) if df % 2 else 0.0
    return min(1.0, max(_LEAST, upper + sum(map(math.exp, terms))))


def normal_score(t: float, df: int) -> float:
    """Return the standard normal deviate that is as rare as a value of Student's t, with its sign."""
    return math.copysign(-NormalDist().inv_cdf(t_tails(t, df) / 2), t)
