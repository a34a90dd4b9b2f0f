"""Sessions, links that sign in once, and how many attempts may fail: without a daemon."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from streamer.api.http.problems import HttpRefusal
from streamer.api.http.sign_in import MAX_ADDRESSES, MAX_FAILURES, WINDOW_S, Failures
from streamer.api.sessions import MAX_AGE_S, MAX_IDLE_S, MAX_SESSIONS, SAVE_EVERY_S, SessionStore, csrf_of
from streamer.api.sign_in_links import MAX_LINKS, VALID_S, LinkStore
from streamer.api.tokens import Token, TokenStore
from streamer.config.api_settings import ApiConfig, page_address
from streamer.errors import ConfigError, StorageError


class Clock:
    """Unix time that a test sets."""

    now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(tmp_path: Path) -> TokenStore:
    store = TokenStore(tmp_path)
    store.add("shop", "viewer")
    return store


def token_of(tokens: TokenStore) -> Token:
    return tokens.tokens()[0]


def test_a_session_is_found_by_its_id_alone_and_over_a_restart(
    tmp_path: Path, tokens: TokenStore, clock: Clock
) -> None:
    secret = SessionStore(tmp_path, clock).start(token_of(tokens))
    again = SessionStore(tmp_path, clock)
    found = again.find(secret)
    assert found is not None
    assert found.stands_for(token_of(tokens))
    assert again.find(secret + "x") is None
    assert again.find(found.sha256) is None, "what the file holds opens nothing"
    assert again.path.stat().st_mode & 0o777 == 0o600
    assert secret not in again.path.read_text()
    assert csrf_of(secret) not in again.path.read_text()


def test_a_session_ends_when_it_is_idle_and_not_while_it_is_used(
    tmp_path: Path, tokens: TokenStore, clock: Clock
) -> None:
    sessions = SessionStore(tmp_path, clock)
    used, idle = sessions.start(token_of(tokens)), sessions.start(token_of(tokens))
    clock.now_s += MAX_IDLE_S - 1
    assert sessions.find(used) is not None
    clock.now_s += 2
    assert sessions.find(used) is not None
    assert sessions.find(idle) is None


def test_a_session_ends_by_its_age_however_much_it_is_used(
    tmp_path: Path, tokens: TokenStore, clock: Clock
) -> None:
    sessions = SessionStore(tmp_path, clock)
    secret, begun_s = sessions.start(token_of(tokens)), clock.now_s
    while clock.now_s < begun_s + MAX_AGE_S - MAX_IDLE_S / 2:
        clock.now_s += MAX_IDLE_S / 2
        assert sessions.find(secret) is not None
    clock.now_s = begun_s + MAX_AGE_S + 1
    assert sessions.find(secret) is None


def test_a_session_that_is_signed_out_is_over_at_once_and_after_a_restart(
    tmp_path: Path, tokens: TokenStore, clock: Clock
) -> None:
    sessions = SessionStore(tmp_path, clock)
    secret = sessions.start(token_of(tokens))
    found = sessions.find(secret)
    assert found is not None
    sessions.end(found)
    assert not sessions.holds(found)
    assert sessions.find(secret) is None
    assert SessionStore(tmp_path, clock).find(secret) is None


def test_a_token_that_was_made_anew_under_its_name_is_another_one(
    tmp_path: Path, tokens: TokenStore, clock: Clock
) -> None:
    sessions = SessionStore(tmp_path, clock)
    found = sessions.find(sessions.start(token_of(tokens)))
    assert found is not None
    tokens.remove("shop")
    tokens.add("shop", "admin")
    assert not found.stands_for(token_of(tokens))


def test_the_one_unused_for_longest_makes_room(tmp_path: Path, tokens: TokenStore, clock: Clock) -> None:
    sessions = SessionStore(tmp_path, clock)
    first, second = (sessions.start(token_of(tokens)) for _ in range(2))
    clock.now_s += 1
    assert sessions.find(first) is not None
    for _ in range(MAX_SESSIONS - 1):
        sessions.start(token_of(tokens))
    assert sessions.find(first) is not None
    assert sessions.find(second) is None


def test_that_a_session_was_used_is_saved_now_and_then(
    tmp_path: Path, tokens: TokenStore, clock: Clock
) -> None:
    sessions = SessionStore(tmp_path, clock)
    secret = sessions.start(token_of(tokens))
    written = sessions.path.read_text()
    clock.now_s += SAVE_EVERY_S / 2
    assert sessions.find(secret) is not None
    sessions.save_if_due()
    assert sessions.path.read_text() == written
    clock.now_s += SAVE_EVERY_S
    sessions.save_if_due()
    assert sessions.path.read_text() != written


def test_a_broken_file_signs_everybody_out_and_says_so(
    tmp_path: Path, tokens: TokenStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    sessions = SessionStore(tmp_path, clock)
    sessions.path.write_text('{"sessions": 3}')
    with caplog.at_level(logging.WARNING):
        secret = sessions.start(token_of(tokens))
    assert "everybody signs in again" in caplog.text
    assert sessions.find(secret) is not None


# ---- links


def test_a_link_signs_in_once(tmp_path: Path, tokens: TokenStore, clock: Clock) -> None:
    code = LinkStore(tmp_path, clock).add(token_of(tokens))
    links = LinkStore(tmp_path, clock)
    assert links.path.stat().st_mode & 0o777 == 0o600
    assert code not in links.path.read_text()
    assert links.use(code + "x", tokens) is None
    assert links.use(code, tokens) == token_of(tokens)
    assert links.use(code, tokens) is None


def test_a_link_is_over_after_its_minutes(tmp_path: Path, tokens: TokenStore, clock: Clock) -> None:
    links = LinkStore(tmp_path, clock)
    early, late = links.add(token_of(tokens)), links.add(token_of(tokens))
    clock.now_s += VALID_S - 1
    assert links.use(early, tokens) is not None
    clock.now_s += 1
    assert links.use(late, tokens) is None


def test_a_link_of_a_token_that_is_gone_signs_nobody_in(
    tmp_path: Path, tokens: TokenStore, clock: Clock
) -> None:
    links = LinkStore(tmp_path, clock)
    code = links.add(token_of(tokens))
    tokens.remove("shop")
    tokens.add("shop", "admin")
    assert links.use(code, tokens) is None


def test_links_have_a_limit_and_a_broken_file_is_named(
    tmp_path: Path, tokens: TokenStore, clock: Clock
) -> None:
    links = LinkStore(tmp_path, clock)
    for _ in range(MAX_LINKS):
        links.add(token_of(tokens))
    with pytest.raises(ConfigError, match="wait 10 minutes"):
        links.add(token_of(tokens))
    links.path.write_text("[")
    with pytest.raises(StorageError, match="remove it"):
        links.use("x", tokens)


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ({"listen": "127.0.0.1:8380"}, "http://127.0.0.1:8380"),
        ({"listen": "[::1]:8380"}, "http://[::1]:8380"),
        (
            {"listen": "0.0.0.0:443", "hosts": ["box.example.org"], "tls_cert": "/c", "tls_key": "/k"},
            "https://box.example.org:443",
        ),
        (
            {"listen": "10.0.0.2:8380", "hosts": ["box.example.org"], "behind_proxy": True},
            "https://box.example.org",
        ),
    ],
)
def test_a_link_leads_to_where_the_page_is(settings: dict[str, object], address: str) -> None:
    assert page_address(ApiConfig.model_validate(settings)) == address


@pytest.mark.parametrize("listen", [None, "127.0.0.1:0", "/run/api.sock"])
def test_there_is_no_link_to_a_page_that_no_browser_finds(listen: str | None) -> None:
    with pytest.raises(ConfigError, match=r"api\.listen"):
        page_address(ApiConfig(listen=listen))


# ---- attempts that fail


def test_after_too_many_failures_an_address_waits_and_others_do_not(clock: Clock) -> None:
    failures = Failures(clock)
    for _ in range(MAX_FAILURES):
        failures.check("a")
        failures.add("a")
    with pytest.raises(HttpRefusal) as refused:
        failures.check("a")
    assert refused.value.status == 429
    failures.check("b")
    clock.now_s += WINDOW_S + 1
    failures.check("a")


def test_the_addresses_that_are_remembered_have_a_limit(clock: Clock) -> None:
    failures = Failures(clock)
    for number in range(MAX_ADDRESSES * 2):
        failures.add(str(number))
    assert len(failures._by) == MAX_ADDRESSES
