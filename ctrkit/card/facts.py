"""What a run was made of and what became of it: data, settings, code, export, gates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ctrkit.card.markup import Cell, Markup, element, facts, folded, section, table
from ctrkit.card.numbers import count, duration, figure, moment, setting, size

CHECKSUM_SHOWN = 12  # Characters; the JSON has all.


def data_section(card: Mapping[str, Any]) -> Markup:
    """The log's files, the parts and their times, the index."""
    data = card.get("data") or {}
    if not data:
        return Markup("")
    split = data.get("split") or {}
    parts = [
        [name, count(one["rows"]), _rate(one.get("label_rate")), _window(one.get("time")), _code(one.get("checksum"))]
        for name, one in data["parts"].items()
    ]
    files = [
        [one["path"].rpartition("/")[2], size(one["bytes"]), _code(one["sha256"])] for one in data.get("files") or []
    ]
    window = f"Times, {data['time']}" if data.get("time") else "Times (the schema names none)"
    how = f"by {split.get('by')}" + (f" within {split['within']}" if split.get("within") else "")
    return section(
        "Data",
        table(["Part", "Rows", "Click rate", window, "Records"], parts, css="numbers"),
        facts(
            [
                ("Split", how if split else None),
                ("Feature index", _code(data["fingerprint"])),
                ("Features", f"{count(data.get('features'))}, {count(data.get('index_rows'))} embedding rows"),
            ]
        ),
        folded(
            f"{len(files)} file{'s' if len(files) != 1 else ''} of the log", table(["File", "Size", "SHA-256"], files)
        ),
        name="data",
    )


def settings_section(card: Mapping[str, Any]) -> Markup:
    """What was changed, first; then everything."""
    changed = card.get("changed")
    experiment = card.get("experiment")
    of = f"experiment {experiment}" if experiment else "the chosen files of conf/"
    content: list[Cell] = []
    rows: list[list[Cell]]
    if changed:
        rows = [
            [element("code", key), element("mark", setting(one["value"])), element("s", setting(one["default"]))]
            for key, one in changed.items()
        ]
        content += [element("p", f"Changed from the defaults of {of}:"), table(["Setting", "Here", "Default"], rows)]
    elif changed is not None:
        content.append(element("p", f"Nothing was changed from the defaults of {of}."))
    if card.get("config"):
        marked = set(changed or ())
        rows = [
            [element("code", key), element("mark", setting(value)) if key in marked else setting(value)]
            for key, value in card["config"].items()
        ]
        content.append(folded(f"All {len(rows)} settings", table([], rows, css="settings")))
    return section("Configuration", *content, name="configuration")


def gates_section(card: Mapping[str, Any]) -> Markup:
    """The promotion's gates with figure, bound and verdict."""
    promotion = card.get("promotion") or {}
    gates = promotion.get("gates") or []
    rows = []
    for gate in gates:
        verdict = str(gate["verdict"])
        rows.append(
            [
                gate["name"].replace("_", " "),
                element("span", verdict, css=f"verdict {verdict}"),
                "–" if gate.get("figure") is None else f"{gate['figure']:.5g}",
                gate.get("bound") or "–",
                gate.get("text") or "",
            ]
        )
    told = {key: setting(value) for key, value in promotion.items() if not isinstance(value, (dict, list))}
    return section(
        "Promotion",
        facts([(key.replace("_", " ").capitalize(), value) for key, value in told.items()]),
        table(["Gate", "Verdict", "Figure", "Asked", "Found"], rows),
        name="promotion",
    )


def export_section(card: Mapping[str, Any]) -> Markup:
    """The exported model: version, whether its paths agree, how fast it ranks."""
    export, verification, latency = (card.get(name) or {} for name in ("export", "verification", "latency"))
    if not (export or verification or latency):
        return Markup("")
    parity = None
    if verification:
        parity = _flat(verification, ("paths", "rows", "largest_difference", "bound", "passed", "export"))
    return section(
        "Export",
        facts(
            [
                ("Version", setting(export.get("version")) if export else None),
                ("Folder", element("code", export["path"]) if export.get("path") else None),
                ("Same scores on every path", parity),
                ("Rank request, p50", f"{latency['p50_ms']:.3g} ms" if latency.get("p50_ms") is not None else None),
                ("Rank request, p99", f"{latency['p99_ms']:.3g} ms" if latency.get("p99_ms") is not None else None),
                ("Measured", _flat(latency, ("over", "candidates", "requests", "export", "when")) if latency else None),
            ]
        ),
        name="export",
    )


def training_section(card: Mapping[str, Any]) -> Markup:
    """How the training went."""
    training = card.get("training") or {}
    if not training:
        return Markup("")
    steps, best = training.get("steps"), training.get("best_step")
    return section(
        "Training",
        facts(
            [
                ("State", card.get("status")),
                ("Steps", f"{count(steps)}, best weights of step {count(best)}" if steps else None),
                ("Stopped because of", training.get("stopped_because")),
                ("Rows read", count(training.get("rows"))),
                ("Time", duration(training.get("seconds"))),
                ("Samples a second", count(training.get("samples_per_second"))),
                *(
                    (f"Validation {name}", figure(value))
                    for name, value in (training.get("metrics") or {}).items()
                    if name in ("auc", "grouped_auc", "log_loss", "pcoc")
                ),
            ]
        ),
        name="training",
    )


def origin_section(card: Mapping[str, Any]) -> Markup:
    """Code, versions, machine, seeds, and what to type to do it again."""
    environment = card.get("environment") or {}
    git, machine = environment.get("git") or {}, environment.get("machine") or {}
    changed, repeats = git.get("changed") or [], card.get("repeats")
    revision: Cell | None = None
    if git:
        state = f"{git.get('changed_files', len(changed))} files changed since" if git.get("dirty") else "clean"
        branch = f" on {git['branch']}" if git.get("branch") else ""
        revision = element("span", element("code", git["revision"][:CHECKSUM_SHOWN]), f"{branch}, {state}")
    packages = [[name, version] for name, version in (environment.get("packages") or {}).items()]
    gpus = ", ".join(machine.get("gpus") or []) or "none"
    return section(
        "Where it comes from",
        facts(
            [
                ("Started", card.get("started")),
                ("Command", element("code", card["command"]) if card.get("command") else None),
                ("Seeds", ", ".join(f"{k} {v}" for k, v in (card.get("seeds") or {}).items()) or None),
                ("Code", revision if git else "no git repository" if environment else None),
                ("Machine", f"{machine.get('host')}, {machine.get('system')}" if machine else None),
                ("Processor", f"{machine.get('processor')}, {machine.get('cores')} cores" if machine else None),
                ("Memory", size(machine.get("memory_bytes")) if machine else None),
                ("GPUs", gpus if machine else None),
                ("Tracked as", _tracked(card.get("tracking"))),
                ("Repeats", f"{repeats['of']}: {repeats['told']}" if repeats else None),
                ("Do it again", element("code", card["rerun"]) if card.get("rerun") else None),
            ]
        ),
        folded("Files that differ from the commit", element("pre", "\n".join(changed))) if changed else "",
        folded("Versions", table([], packages)) if packages else "",
        name="origin",
    )


def _tracked(tracking: Mapping[str, Any] | None) -> Cell | None:
    if not tracking:
        return None
    run_id, url = str(tracking.get("run_id")), str(tracking.get("url") or "")
    if url.startswith(("http://", "https://")):
        return element("a", run_id, href=url)
    return run_id


def _flat(told: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """Known names of a mapping in a line, whatever of them there is."""
    parts = []
    for name in names:
        value = told.get(name)
        if value is None:
            continue
        if isinstance(value, (list, tuple, dict)):
            value = ", ".join(map(str, value))
        elif isinstance(value, float):
            value = f"{value:.3g}"
        parts.append(f"{name.replace('_', ' ')} {value}")
    return "; ".join(parts)


def _code(checksum: str | None) -> Cell:
    return "–" if checksum is None else element("code", checksum[:CHECKSUM_SHOWN], title=checksum)


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f}%"


def _window(span: Any) -> str:
    return "–" if not span else f"{moment(span[0])} to {moment(span[1])}"
