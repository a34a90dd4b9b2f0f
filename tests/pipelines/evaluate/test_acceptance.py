"""Gates: read as meant, or refused; met or not."""

from __future__ import annotations

import pytest

from pipelines.evaluate.acceptance import GateError, judge, parse_gates

FOUND: dict[str, float | None] = {
    "gross": 6.0, "net": -4.0, "misses": 5.0, "false": 1.0, "hota": 61.5, "idf1": 80.0, "mota": -3.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("gross<=5%", False),  # 6 of 100
        ("gross<=6%", True),
        ("gross<6%", False),
        ("gross<=6", True),
        ("gross < 6", False),
        ("misses<=5", True),
        ("false<=0.5%", False),
        ("net<=3", False),  # its size: as many too few are no better than as many too many
        ("net<=4%", True),
        ("hota>=60", True),
        ("HOTA >= 62%", False),
        ("idf1>80", False),
        ("mota>=-5", True),
    ],
)
def test_a_gate_is_met_or_not(text: str, met: bool) -> None:
    (gate,) = parse_gates(text)
    assert judge(gate, FOUND, true=100).met is met


def test_several_are_separated_by_commas() -> None:
    assert [str(g) for g in parse_gates("gross <= 5%, misses<=3,hota>=60")] == [
        "gross<=5%",
        "misses<=3",
        "hota>=60%",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "write it as"),
        ("gross", "write it as"),
        ("gross=5", "write it as"),
        ("gross<=five", "write it as"),
        ("gross<=5%%", "write it as"),
        ("5%>=gross", "write it as"),
        ("gross<=5,", "write it as"),
        ("gross<=nan", "write it as"),
        ("speed<=5", "no figure 'speed': known are gross, net, misses"),
        ("net>=-2%", "never below 0"),
        ("hota>=110", "never above 100"),
    ],
)
def test_what_is_no_gate_is_refused(text: str, said: str) -> None:
    with pytest.raises(GateError, match=said):
        parse_gates(text)


def test_a_share_of_no_crossing_is_met_by_no_error_alone() -> None:
    (gate,) = parse_gates("false<=50%")
    assert judge(gate, {**FOUND, "false": 0.0}, true=0).met
    verdict = judge(gate, FOUND, true=0)
    assert not verdict.met
    assert "without any true crossing" in str(verdict)


def test_a_score_that_is_not_known_is_an_error_and_no_pass() -> None:
    (gate,) = parse_gates("idf1>=0")
    with pytest.raises(GateError, match=r"streamer\[evaluate\]"):
        judge(gate, {**FOUND, "idf1": None}, true=1)
