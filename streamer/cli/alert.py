"""`streamer alert`: rules that raise an alert, added to a camera as lines and zones are."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, get_args

import click
from rich.console import Console
from rich.table import Table

from pipelines.alerts.rule import AlertSpec, CameraFault, Severity
from pipelines.rules import check_name
from streamer.cli.change import send_change
from streamer.cli.click_types import Finite, split_words
from streamer.cli.lenient_config import present
from streamer.config.store import ConfigStore
from streamer.errors import ConfigError

Command = Callable[..., Any]
SECONDS: dict[str, Any] = {"type": Finite(0, 86_400), "metavar": "SECONDS"}
# What of a rule is shown in the column "raised by", in this order.
SHOWN = (
    *("zone", "at_least", "line", "direction", "action", "min_confidence"),
    *("wrong_way", "speed", "over", "camera"),
)

_OPTIONS = (
    click.option("--zone", help="Somebody is in this zone."),
    click.option("--at-least", type=click.IntRange(1), metavar="N", help="… so many together."),
    click.option(
        "--for",
        "for_s",
        **SECONDS,
        help="… or it holds, for so long.",
    ),
    click.option("--line", help="This line is crossed."),
    click.option("--direction", help="… in this direction only."),
    click.option("--action", help="Somebody does this, as the camera's model of actions calls it."),
    click.option("--min-confidence", type=Finite(0, 1), help="… with this probability at least."),
    click.option("--wrong-way", metavar="RULE", help="Somebody goes the wrong way, by this rule."),
    click.option("--speed", metavar="RULE", help="Something is too fast, by this rule."),
    click.option("--over", type=Finite(0, 1000), help="… faster than this, in the rule's unit."),
    click.option(
        "--camera-is", "camera_fault", type=click.Choice(get_args(CameraFault)), help="The camera is."
    ),
    click.option("--class", "--classes", "classes", help="Only these classes or groups: person,vehicle"),
    click.option("--outside", metavar="HOURS", help="Only outside these opening_hours of streamer.yaml."),
    click.option("--inside", metavar="HOURS", help="Only inside them."),
    click.option("--severity", type=click.Choice(get_args(Severity)), help="[default: warning]"),
    click.option("--debounce", "debounce_s", **SECONDS, help="A shorter break is none."),
    click.option(
        "--clear-after",
        "clear_after_s",
        **SECONDS,
        help="Over after so long without.",
    ),
    click.option(
        "--repeat-after",
        "repeat_after_s",
        **SECONDS,
        help="Tell again while it lasts.",
    ),
    click.option("--clip", is_flag=True, default=None, help="Keep a clip of it, where clips.enabled."),
    click.option("--replace", is_flag=True, help="Change one that exists."),
)


def _with_options(command: Command) -> Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.group()
def alert() -> None:
    """Alerts: what should not happen, told when it does."""


@alert.command("add")
@click.argument("camera")
@click.argument("name")
@_with_options
@click.pass_obj
def add_alert(store: ConfigStore, /, camera: str, name: str, replace: bool, **asked: Any) -> None:
    """Add an alert to a camera: CAMERA NAME, and what raises it.

    \b
    streamer alert add shop after-hours --zone room --class person --for 10 --outside opening
    streamer alert add shop crowd --zone entrance --at-least 20 --for 30
    streamer alert add shop till --zone till --for 5 --outside opening --clip
    streamer alert add shop no-picture --camera-is offline --for 120 --severity critical
    """
    try:
        check_name(name, "alert name")
    except ValueError as error:
        raise ConfigError(str(error)) from error
    change = {"op": "alert.put", "camera": camera, "alert": _rule(name, asked), "replace": replace}
    send_change(store, change, f"alert {name} saved for camera {camera}")


def _rule(name: str, asked: dict[str, Any]) -> dict[str, Any]:
    """The rule of the options that were given. Raises UsageError."""
    outside, inside, fault = (asked.pop(key) for key in ("outside", "inside", "camera_fault"))
    if outside and inside:
        raise click.UsageError("--outside and --inside: give one of them")
    rule = {"name": name, **{key: value for key, value in asked.items() if value is not None}}
    if "classes" in rule:
        rule["classes"] = split_words(rule["classes"])
    if fault:
        rule["camera"] = fault
    if outside or inside:
        rule["when"] = {"outside": outside} if outside else {"inside": inside}
    return rule


@alert.command("list")
@click.argument("camera", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def list_alerts(store: ConfigStore, camera: str | None, as_json: bool) -> None:
    """List the alerts of a camera, or of all."""
    cameras = present(store).cameras if camera is None else (store.load_with(camera)[1],)
    found = [(each.name, rule) for each in cameras for rule in each.rules.alerts]
    if as_json:
        rules = [{"of": name, **rule.model_dump(mode="json", exclude={"rev"})} for name, rule in found]
        click.echo(json.dumps(rules, indent=2))
        return
    if not found:
        click.echo("no alerts; add one: streamer alert add CAMERA NAME --zone ZONE --for SECONDS")
        return
    table = Table("camera", "alert", "severity", "raised by", "classes", "when")
    for name, rule in found:
        classes = ", ".join(rule.classes) or "all"
        table.add_row(name, rule.name, rule.severity, _shown(rule), classes, _when(rule))
    Console().print(table)


def _shown(rule: AlertSpec) -> str:
    parts = [f"{key.replace('_', ' ')} {value}" for key in SHOWN if (value := getattr(rule, key)) is not None]
    lasting = [f"for {rule.for_s:g} s"] if rule.for_s else []
    return ", ".join([*parts, *lasting, *["with a clip"] * rule.clip])


def _when(rule: AlertSpec) -> str:
    if rule.when is None:
        return "always"
    return f"{'outside' if rule.when.outside else 'inside'} {rule.when.hours}"


@alert.command("remove")
@click.argument("camera")
@click.argument("name")
@click.pass_obj
def remove_alert(store: ConfigStore, camera: str, name: str) -> None:
    """Remove an alert from a camera; one that is raised is cleared."""
    change = {"op": "alert.remove", "camera": camera, "name": name}
    send_change(store, change, f"alert {name} of camera {camera} removed")
