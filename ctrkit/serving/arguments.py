"""The server's command line: its own words, and those of `tensorflow_model_server`."""

from __future__ import annotations

import argparse
import logging
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ctrkit.errors import ConfigError, did_you_mean
from ctrkit.serving.options import LimitOptions, RestOptions, ServingOptions, TlsOptions

LOG = logging.getLogger(__name__)

# Flags of tensorflow_model_server that ask for what is done anyway, or for what does not exist here.
IGNORED = {
    "enable-model-warmup": "warmup is on unless --no-warmup is given",
    "file-system-poll-wait-seconds": "",  # Handled: its 0 and its -1 mean something else than ours.
    "flush-filesystem-caches": "the model's files are mapped, not read",
    "grpc-channel-arguments": "see the limits of this server",
    "grpc-max-threads": "use --workers",
    "load-retry-interval-micros": "a version that failed is tried again after a minute",
    "max-num-load-retries": "a version that failed is tried again five times",
    "num-load-threads": "versions are loaded one after the other, apart from requests",
    "num-unload-threads": "each version is unloaded in a thread of its own",
    "rest-api-num-threads": "use --workers",
    "tensorflow-inter-op-parallelism": "use --workers",
    "tensorflow-intra-op-parallelism": "use --workers",
    "tensorflow-session-parallelism": "use --workers",
    "xla-cpu-compilation-enabled": "compiled graphs run without being asked for",
}


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What the command line said."""

    path: Path | None
    options: ServingOptions
    until_stdin_closes: bool
    ready_fd: int | None

    @classmethod
    def parse(cls, arguments: Sequence[str] | None = None) -> Arguments:
        """Read a command line. Raises `ConfigError` for values that cannot be used, `SystemExit` for flags."""
        parser = _parser()
        given = parser.parse_args(_taken_over(sys.argv[1:] if arguments is None else arguments))
        path = given.path if given.path is not None else given.model_base_path
        text = given.options_json
        options = _options(given) if text is None else ServingOptions.from_json(text)
        return cls(path=path, options=options, until_stdin_closes=given.until_stdin_closes, ready_fd=given.ready_fd)


def labels_of(text: str) -> dict[str, int]:
    """Read "stable=3,canary=4". Raises `ConfigError`."""
    labels = {}
    for part in filter(None, text.split(",")):
        label, _, version = part.partition("=")
        if not label or not version.isdigit():
            raise ConfigError(f"Label {part!r} is not of the form NAME=VERSION, e.g. stable=3,canary=4.")
        labels[label] = int(version)
    return labels


def _options(given: argparse.Namespace) -> ServingOptions:
    if (given.tls_certificate is None) != (given.tls_key is None) or (given.tls_client_authority and not given.tls_key):
        raise ConfigError("Encryption needs both --tls-certificate and --tls-key (and for mutual TLS the authority).")
    tls = None
    if given.tls_certificate is not None:
        tls = TlsOptions(
            certificate=given.tls_certificate, key=given.tls_key, client_authority=given.tls_client_authority
        )
    rest = None
    if given.rest_port is not None:
        rest = RestOptions(port=given.rest_port, max_body_bytes=given.max_message_bytes, timeout=given.rest_timeout)
    return ServingOptions(
        name=given.name,
        version_policy=given.version_policy,
        labels=labels_of(given.labels),
        model_config_file=given.model_config_file,
        same_index=given.same_index,
        allow_unavailable_labels=given.allow_version_labels_for_unavailable_models,
        poll_every=given.poll_every or None,
        host=given.host,
        port=given.port,
        rest=rest,
        tls=tls,
        workers=given.workers,
        processes=given.processes,
        batching_parameters_file=given.batching_parameters_file,
        limits=LimitOptions(max_queue=given.max_queue, max_message_bytes=given.max_message_bytes),
        require_index=not given.any_saved_model,
        warmup=not given.no_warmup,
        grace=given.grace,
    )


def _taken_over(arguments: Sequence[str]) -> list[str]:
    """A command line of `tensorflow_model_server` in our words: dashes, no values for switches, seconds."""
    taken: list[str] = []
    for argument in arguments:
        match = re.fullmatch(r"--([A-Za-z0-9_-]+)(=.*)?", argument, re.DOTALL)
        if match is None:
            taken.append(argument)
            continue
        name, value = match[1].replace("_", "-"), match[2]
        if name == "file-system-poll-wait-seconds" and value is not None:
            # Theirs: 0 looks once, a negative number never; ours has 0 for both.
            taken.append(f"--poll-every={max(0.0, _number(name, value[1:]))}")
        elif name == "rest-api-timeout-in-ms" and value is not None:
            taken.append(f"--rest-timeout={_number(name, value[1:]) / 1e3}")
        elif name == "rest-api-port" and value == "=0":
            continue  # Theirs: no HTTP port.
        elif name == "enable-model-warmup" and value is not None and _is_false(value[1:]):
            taken.append("--no-warmup")
        elif name in IGNORED:
            LOG.warning("--%s has no meaning here: %s.", match[1], IGNORED[name])
        elif name in ("enable-batching", "allow-version-labels-for-unavailable-models"):
            taken += [] if value is not None and _is_false(value[1:]) else [f"--{name}"]
        else:
            taken.append(f"--{name}{value or ''}")
    return taken


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"--{name} is {text!r}, expected a number.") from None


def _is_false(text: str) -> bool:
    return text.lower() in ("false", "0", "no")


class _Parser(argparse.ArgumentParser):
    """Names the nearest flag for one that does not exist."""

    def error(self, message: str) -> NoReturn:
        unknown = re.search(r"unrecognized arguments: --([\w-]+)", message)
        flags = [flag[2:] for flag in self._option_string_actions if flag.startswith("--")]
        near = f".{did_you_mean(unknown[1], flags)}" if unknown else ""
        super().error(message + near)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m ctrkit.serving.server",
        description="Serve exported models over TensorFlow Serving's gRPC and REST protocols. The flags of "
        "tensorflow_model_server are understood too: underscores or dashes, --flag=value.",
        allow_abbrev=False,
    )
    parser.add_argument("path", nargs="?", type=Path, help="directory of versions (1/, 2/, …), or one version's")
    _models(parser.add_argument_group("models"))
    _ports(parser.add_argument_group("ports"))
    _work(parser.add_argument_group("work and limits"))
    other = parser.add_argument_group("for programs that start a server")
    other.add_argument("--options-json", metavar="JSON", help="all options at once, in place of the flags")
    other.add_argument("--until-stdin-closes", action="store_true", help="also stop when standard input ends")
    other.add_argument("--ready-fd", type=int, help="write host:port (gRPC, HTTP) to this descriptor when available")
    return parser


def _models(group: Any) -> None:
    defaults = ServingOptions()
    group.add_argument("--model-base-path", type=Path, help="the same as PATH")
    group.add_argument("--name", "--model-name", default=defaults.name, help="its name in requests (%(default)s)")
    group.add_argument(
        "--version-policy", default=defaults.version_policy, help="latest, latest:2, all, or specific:3,5 (%(default)s)"
    )
    group.add_argument("--labels", default="", metavar="LABEL=VERSION,…", help="names for versions: stable=3,canary=4")
    group.add_argument(
        "--model-config-file", type=Path, help="several models: TensorFlow Serving's models.config, in place of PATH"
    )
    group.add_argument("--allow-version-labels-for-unavailable-models", action="store_true", help="as its name says")
    group.add_argument("--same-index", action="store_true", help="refuse versions made with another feature index")
    group.add_argument(
        "--poll-every",
        type=float,
        default=defaults.poll_every,
        metavar="SECONDS",
        help="look for new versions so often; 0: only at the start (%(default)s)",
    )
    group.add_argument("--any-saved-model", action="store_true", help="serve a SavedModel without a feature index too")
    group.add_argument("--no-warmup", action="store_true", help="do not replay the model's warmup requests")


def _ports(group: Any) -> None:
    defaults = ServingOptions()
    group.add_argument("--host", default=defaults.host, help="address to listen at; 0.0.0.0: any (%(default)s)")
    group.add_argument("--port", type=int, default=8500, help="gRPC; 0: any free port (%(default)s)")
    group.add_argument("--rest-port", "--rest-api-port", type=int, help="HTTP; 0: any free port (none)")
    group.add_argument("--rest-timeout", type=float, default=RestOptions.timeout, help="seconds (%(default)s)")
    group.add_argument("--tls-certificate", type=Path, metavar="PEM", help="encrypt both ports: certificate")
    group.add_argument("--tls-key", type=Path, metavar="PEM", help="its private key")
    group.add_argument(
        "--tls-client-authority", type=Path, metavar="PEM", help="let in only clients with a certificate signed by it"
    )


def _work(group: Any) -> None:
    defaults = ServingOptions()
    group.add_argument("--workers", type=int, default=defaults.workers, help="requests computed at once (%(default)s)")
    group.add_argument("--processes", type=int, default=defaults.processes, help="behind the one port (%(default)s)")
    group.add_argument("--enable-batching", action="store_true", help=argparse.SUPPRESS)  # The file says it already.
    group.add_argument(
        "--batching-parameters-file", type=Path, help="compute requests together, as TensorFlow Serving's file says"
    )
    group.add_argument("--max-queue", type=int, help="requests that may wait for a worker (four for each)")
    group.add_argument(
        "--max-message-bytes", type=int, default=LimitOptions.max_message_bytes, help="of a request (%(default)s)"
    )
    group.add_argument(
        "--grace", type=float, default=defaults.grace, help="seconds for open requests when stopping (%(default)s)"
    )
