"""Tokens: made, found, removed, and kept hashed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from streamer.api import tokens
from streamer.api.tokens import TokenStore
from streamer.cli.main import cli
from streamer.errors import ConfigError, StorageError


def test_a_token_is_found_by_its_text_alone_and_not_once_removed(tmp_path: Path) -> None:
    store, other = TokenStore(tmp_path), TokenStore(tmp_path)
    secret = store.add("shop", "viewer", ("gate",))
    found = other.find(secret)
    assert found is not None
    assert (found.name, found.role, found.cameras) == ("shop", "viewer", ("gate",))
    assert (found.sees("gate"), found.sees("yard")) == (True, False)
    assert (found.holds("viewer"), found.holds("operator"), found.holds("admin")) == (True, False, False)
    for wrong in ("", secret[:-1], secret + "x", secret.swapcase(), found.sha256, "\udcff"):
        assert other.find(wrong) is None
    store.remove("shop")
    assert other.find(secret) is None, "the other process sees it at once"


def test_two_tokens_are_never_the_same_and_hold_256_bits(tmp_path: Path) -> None:
    store = TokenStore(tmp_path)
    secrets = {store.add(f"t{i}", "admin") for i in range(20)}
    assert len(secrets) == 20
    assert all(len(secret.removeprefix(tokens.PREFIX)) == 43 for secret in secrets), "32 bytes in base64"


def test_the_file_is_the_daemons_alone_and_holds_no_token(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        secret = TokenStore(tmp_path).add("shop", "admin")
    finally:
        os.umask(before)
    path = tmp_path / "tokens.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert secret.removeprefix(tokens.PREFIX) not in path.read_text()


def test_names_roles_and_cameras_that_are_none_are_refused(tmp_path: Path) -> None:
    store = TokenStore(tmp_path)
    store.add("shop", "viewer")
    with pytest.raises(ConfigError, match="token 'shop' exists"):
        store.add("shop", "admin")
    for name, role, cameras in (
        ("../x", "viewer", None),
        ("a\nb", "viewer", None),
        ("ok", "root", None),
        ("ok", "viewer", ("../x",)),
        ("ok", "viewer", ()),
    ):
        with pytest.raises(ConfigError):
            store.add(name, role, cameras)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="known: shop"):
        store.remove("door")
    assert [token.name for token in store.tokens()] == ["shop"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"tokens": 1}', '{"tokens": [{"name": "x"}]}', "\x00"])
def test_a_damaged_file_opens_nothing_and_says_what_to_do(tmp_path: Path, text: str) -> None:
    store = TokenStore(tmp_path)
    secret = store.add("shop", "admin")
    store.path.write_text(text)
    with pytest.raises(StorageError, match="make the tokens anew"):
        store.find(secret)


def test_the_command_prints_a_token_once_and_lists_it_without(tmp_path: Path) -> None:
    (tmp_path / "streamer.yaml").write_text(f"state_dir: {tmp_path / 'state'}\n")

    def run(*words: str) -> str:
        done = CliRunner().invoke(cli, ["--config", str(tmp_path), "token", *words])
        assert done.exit_code == 0, done.output
        return done.stdout

    secret = run("add", "shop", "--role", "operator", "--cameras", "gate, yard").strip()
    assert secret.startswith(tokens.PREFIX)
    assert "\n" not in secret
    (listed,) = json.loads(run("list", "--json"))
    assert (listed["name"], listed["role"], listed["cameras"]) == ("shop", "operator", ["gate", "yard"])
    assert "sha256" not in listed
    assert "shop" in run("list")
    run("remove", "shop")
    assert json.loads(run("list", "--json")) == []
    assert CliRunner().invoke(cli, ["--config", str(tmp_path), "token", "add", "x"]).exit_code == 2, "no role"
