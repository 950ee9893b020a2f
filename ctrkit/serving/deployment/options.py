"""What a team may choose about a deployment of the real TensorFlow Serving."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ctrkit.errors import ConfigError, did_you_mean
from ctrkit.serving.options import TlsOptions

STOCK_IMAGE = "tensorflow/serving"
URL = re.compile(r"[a-z][a-z0-9]*://.+")
_QUANTITY = re.compile(r"[1-9][0-9]*(Mi|Gi)")
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, kw_only=True)
class DeploymentOptions:
    """How tensorflow_model_server is started, and where."""

    with_export: bool = False  # `ctrkit export` writes the files too; else `ctrkit serving-config` alone.
    # --- the container ---
    image: str = STOCK_IMAGE
    tag: str = "2.15.1"  # The TensorFlow that exports should be the one that serves.
    namespace: str = "default"  # Of Kubernetes.
    replicas: int = 2
    cpu: int = 2  # Cores that a replica asks for.
    cpu_limit: int | None = None  # None: no limit, for a limit stops the server in the middle of a request.
    memory: str | None = None  # E.g. "2Gi", asked for and not exceeded; None: reckoned from the model.
    # --- the model store: a folder of models, each a folder of versions ---
    store: str | None = None  # gs://…, or a folder that docker compose mounts; None: the run's own exports.
    claim: str = "models"  # PersistentVolumeClaim that holds the store in Kubernetes; not used where it is a URL.
    latest: int = 1  # Versions served at once, the newest ones; labels replace this.
    labels: Mapping[str, int] | None = None  # E.g. {"stable": 3, "canary": 4}: these versions and no others.
    # --- switching ---
    poll_seconds: int = 5  # Between two looks for a new version.
    config_poll_seconds: int = 30  # Between two looks at models.config.
    load_threads: int = 1  # Apart from those of requests; must not be 0.
    load_retries: int = 3
    retry_seconds: int = 10
    # --- requests ---
    grpc_port: int = 8500
    rest_port: int = 8501
    intra_op_threads: int = 1  # Inside one operation; more is slower for a few hundred candidates.
    inter_op_threads: int = -1  # Across operations; -1: in the request's own thread.
    batching: bool = False  # Merge requests; `rank` cannot be merged (see batching.config).
    batch_timeout_micros: int = 500
    connection_age_seconds: int = 300  # Then a client connects again, and finds new replicas.
    drain_seconds: int = 20  # A replica that ends still answers so long.
    metrics_path: str = "/monitoring/prometheus/metrics"
    tls: TlsOptions | None = None  # Of the gRPC port; or a mapping of its options.
    # --- the machine ---
    allocator: str | None = None  # Of the image, e.g. /usr/lib/x86_64-linux-gnu/libjemalloc.so.2; None: glibc's.
    malloc_arenas: int | None = 2  # Of glibc; None: as many as eight for each core.
    onednn: bool | None = None  # Its kernels; None: where the processor has AVX512-VNNI or AMX.

    def __post_init__(self) -> None:
        least = {"replicas": 1, "cpu": 1, "latest": 1, "poll_seconds": 1, "config_poll_seconds": 0, "load_threads": 1}
        least |= {"load_retries": 0, "retry_seconds": 1, "intra_op_threads": 1, "inter_op_threads": -1}
        least |= {"batch_timeout_micros": 0, "connection_age_seconds": 1, "drain_seconds": 0}
        for name, bound in least.items():
            _check_number(name, getattr(self, name), bound)
        for name in ("cpu_limit", "malloc_arenas"):
            if getattr(self, name) is not None:
                _check_number(name, getattr(self, name), 1)
        for name in ("grpc_port", "rest_port"):
            _check_number(name, getattr(self, name), 1, 65535)
        if self.grpc_port == self.rest_port:
            raise ConfigError(f"`grpc_port` and `rest_port` are both {self.grpc_port}; each needs a port of its own.")
        if self.memory is not None and not _QUANTITY.fullmatch(self.memory):
            raise ConfigError(f"`memory` is {self.memory!r}, expected e.g. 512Mi or 2Gi.")
        if not _DNS_LABEL.fullmatch(self.namespace):
            raise ConfigError(f"`namespace` is {self.namespace!r}, expected lower-case letters, digits and dashes.")
        if not self.metrics_path.startswith("/"):
            raise ConfigError(f"`metrics_path` is {self.metrics_path!r}, expected e.g. /monitoring/prometheus/metrics.")
        if self.store is not None and self.store.startswith("s3://") and self.image == STOCK_IMAGE:
            raise ConfigError(
                f"`store` is {self.store!r}, but {STOCK_IMAGE} reads no s3:// since 2.7. Copy the versions to a volume "
                "(`aws s3 sync`, or a CSI driver) and leave `store` out, use gs://, or name an `image` that reads it."
            )
        self._check_labels()
        if isinstance(self.tls, Mapping):
            object.__setattr__(self, "tls", _tls(self.tls))

    def _check_labels(self) -> None:
        object.__setattr__(self, "labels", dict(self.labels or {}))
        for label, version in self.versions_by_label.items():
            if not label or isinstance(version, bool) or not isinstance(version, int) or version < 1:
                raise ConfigError(f"`labels` has {label!r}: {version!r}, expected a version's number, e.g. stable: 3.")

    @property
    def versions_by_label(self) -> Mapping[str, int]:
        """The labels; empty when there are none."""
        return self.labels or {}

    @property
    def versions_at_once(self) -> int:
        """Versions in memory while one is replaced: those that are served, and the new one."""
        return (len(set(self.versions_by_label.values())) or self.latest) + 1

    @property
    def is_url(self) -> bool:
        """Whether the server reads the store itself, without a volume."""
        return self.store is not None and URL.fullmatch(self.store) is not None


@dataclass(frozen=True, kw_only=True)
class DeployedModel:
    """What a deployment depends on of an exported model."""

    name: str  # In requests.
    parameters: int  # Numbers in its variables, four bytes each.
    buckets: tuple[int, ...]  # Batch sizes that its warmup covers.
    compiled: tuple[str, ...] = ()  # Signatures that XLA compiles.

    @property
    def resource(self) -> str:
        """Its name in Kubernetes."""
        name = re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")[:48].strip("-")
        return name if name[:1].isalpha() else f"model-{name}".strip("-")  # A Service's name starts with a letter.


def _tls(given: Mapping[str, Any]) -> TlsOptions:
    known = [field.name for field in dataclasses.fields(TlsOptions)]
    for name in given:
        if name not in known:
            raise ConfigError(f"`tls` has no option {name!r}.{did_you_mean(str(name), known)}")
    if not {"certificate", "key"} <= set(given):
        raise ConfigError(f"`tls` has {', '.join(map(str, given)) or 'nothing'}, expected `certificate` and `key`.")
    return TlsOptions(**given)


def _check_number(name: str, value: object, least: int, most: int | None = None) -> None:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or value < least or (most is not None and value > most):  # type: ignore[operator]
        bound = f"a whole number >= {least}" if most is None else f"a whole number from {least} to {most}"
        why = "; with 0 versions are loaded between requests, which then wait" if name == "load_threads" else ""
        raise ConfigError(f"`{name}` is {value!r}, expected {bound}{why}.")
