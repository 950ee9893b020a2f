"""`ctrkit rank`: ask the server to rank ads for a user, from raw values."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig

from ctrkit.commands.console import say
from ctrkit.commands.prepare import log_files
from ctrkit.commands.serve import SERVER_FILE, server_file
from ctrkit.commands.workspace import CONFIG_FILE, find_run, hint, latest_export, plain, run_config, work_dir
from ctrkit.errors import ArtifactError, ConfigError, RequestError, did_you_mean
from ctrkit.indexing import FeatureIndex
from ctrkit.schema import Cross, Schema, column_of
from ctrkit.tracking.reference import ModelReference, is_reference

if TYPE_CHECKING:
    from ctrkit.serving.client import ClientTls

SHOWN = 10  # Best ads that are printed.
ROWS_PER_AD = 20  # Of the log that are looked through for one more distinct candidate.


@dataclass(frozen=True, kw_only=True)
class Request:
    """One user in one context and the candidates to rank, as raw values by the log's column names."""

    user: dict[str, Any]
    context: dict[str, Any]
    ads: list[dict[str, Any]]


def run(config: DictConfig) -> None:
    """Rank and print the best."""
    from ctrkit.serving import Client
    from ctrkit.serving.client import ConnectionOptions

    server = _server(config)
    index = FeatureIndex.load(server.exported / "assets" / "feature_index")
    request = _request(config, server, index.schema)
    options = ConnectionOptions(tls=tls_of(config, server))
    with Client(server.targets, index=index, model=server.model, options=options) as client:
        ranking = client.ranking(request.user, request.context, request.ads)
    say(
        f"{len(ranking)} ads ranked by {', '.join(ranking.targets)}, version {ranking.version}, in "
        f"{ranking.seconds * 1e3:.1f} ms (connecting included)"
    )
    show(request, ranking.scores)


def show(request: Request, scores: np.ndarray) -> None:
    """Print the best candidates with their scores."""
    say(f"  user {_short({**request.user, **request.context})}")
    for place, i in enumerate(np.argsort(-scores, kind="stable")[:SHOWN], start=1):
        say(f"  {place:>3}. {scores[i]:.4f}  {_short(request.ads[i])}")


def _short(values: dict[str, Any]) -> str:
    text = ", ".join(f"{name}={value}" for name, value in values.items())
    return text if len(text) <= 100 else text[:99] + "…"


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of the server to ask."""

    targets: list[str]
    model: str  # Its name there.
    exported: Path  # The SavedModel whose index it serves.
    run_dir: Path  # The run that the model is of; on another machine it may not be there.
    certificate: str | None = None  # Of a server on this machine that encrypts.


def _server(config: DictConfig) -> Known:
    """The server that the configuration names, or that `ctrkit serve` started."""
    model, named = str(config.serving.model), config.serving.target
    name = ModelReference.parse(model).name if is_reference(model) else None
    known = work_dir(config) / SERVER_FILE if name is None else server_file(config, name)
    try:
        found = json.loads(known.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if named is not None:
        targets = [str(target) for target in ([named] if isinstance(named, str) else named)]
        if name is not None and found is not None:
            return Known(targets=targets, model=name, exported=Path(found["exported"]), run_dir=Path(found["run_dir"]))
        run_dir = find_run(config)
        return Known(targets=targets, model=name or model, exported=latest_export(run_dir), run_dir=run_dir)
    if found is None:
        raise ArtifactError(
            f"No server is known for {known.parent}. Start one in another terminal: ctrkit serve "
            f"{hint(config) if name is None else model}; or name one: serving.target=HOST:PORT"
        )
    say(f"server {found['target']}, run {found['run']}")
    return Known(
        targets=[found["target"]],
        model=found["model"],
        exported=Path(found["exported"]),
        run_dir=Path(found["run_dir"]),
        certificate=found.get("certificate"),
    )


def tls_of(config: DictConfig, server: Known) -> ClientTls | None:
    """How the connection is encrypted: as configured, else as the server that was found says."""
    from ctrkit.serving.client import ClientTls

    given = plain(config.serving.client_tls)
    if given is None:
        return None if server.certificate is None else ClientTls(authority=server.certificate)
    known = [field.name for field in dataclasses.fields(ClientTls)]
    for name in given:
        if name not in known:
            raise ConfigError(f"serving.client_tls has no {name!r}.{did_you_mean(name, known)}")
    return ClientTls(**given)


def _request(config: DictConfig, server: Known, schema: Schema) -> Request:
    if config.serving.request is None:
        trained = run_config(server.run_dir) if (server.run_dir / CONFIG_FILE).is_file() else config
        return request_from_log(trained, schema, ads=int(config.serving.ads))
    path = Path(config.serving.request)
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RequestError(
            f"Cannot read request {path}: {error}. Expected JSON with `user`, `context` and `ads`."
        ) from error
    if not isinstance(raw, dict) or not isinstance(raw.get("ads"), list) or not raw["ads"]:
        raise RequestError(f"Request {path} has no `ads`, expected a list with at least one candidate.")
    return Request(user=raw.get("user") or {}, context=raw.get("context") or {}, ads=raw["ads"])


def request_from_log(config: DictConfig, schema: Schema, *, ads: int) -> Request:
    """The first row's user and context, and the first `ads` distinct candidates of the configured log."""
    from ctrkit.records.log import read_head

    rows = read_head(schema, log_files(config)[0], ads * ROWS_PER_AD)
    if not rows:
        raise ArtifactError("The log has no rows to take a request from; give serving.request=FILE.")
    names = _columns(schema, "item")
    distinct = {json.dumps([row.get(name) for name in names], default=str): row for row in reversed(rows)}
    return Request(
        user={name: rows[0].get(name) for name in _columns(schema, "user")},
        context={name: rows[0].get(name) for name in _columns(schema, "context")},
        ads=[{name: row.get(name) for name in names} for row in list(distinct.values())[::-1][:ads]],
    )


def _columns(schema: Schema, side: str) -> list[str]:
    """Raw columns that only the features of `side` own; a cross reads the columns of its parts."""
    own = [f for f in schema.features if f.side == side and not isinstance(f, Cross)]
    return list(dict.fromkeys(str(column_of(f)) for f in own))
