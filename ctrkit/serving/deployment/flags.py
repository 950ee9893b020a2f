"""The command line of tensorflow_model_server, each flag with the reason for its value."""

from __future__ import annotations

from dataclasses import dataclass

from ctrkit.serving.deployment import paths
from ctrkit.serving.deployment.options import DeployedModel, DeploymentOptions

SERVER = "tensorflow_model_server"


@dataclass(frozen=True)
class Setting:
    """A flag or an environment variable, and why it is so."""

    name: str
    value: str
    why: str

    @property
    def flag(self) -> str:
        return f"--{self.name}={self.value}"


def flags_of(model: DeployedModel, options: DeploymentOptions) -> list[Setting]:
    """Every flag, in the order in which a reader wants them.

    Source: tensorflow_serving/model_servers/main.cc. Loading, warming and then dropping the old version
    (AvailabilityPreservingPolicy) is built into server.cc; there is no flag for it.
    """
    config = paths.CONFIG
    found = [
        Setting("port", str(options.grpc_port), "gRPC."),
        Setting("rest_api_port", str(options.rest_port), "REST, readiness and metrics; 0 would turn all three off."),
        Setting("model_config_file", f"{config}/{paths.MODELS_FILE}", "Models, versions and labels."),
        Setting(
            "model_config_file_poll_wait_seconds",
            str(options.config_poll_seconds),
            "A changed models.config takes effect without a restart; with 0, the default, it is read once.",
        ),
        Setting("monitoring_config_file", f"{config}/{paths.MONITORING_FILE}", "Prometheus metrics."),
        Setting(
            "file_system_poll_wait_seconds", str(options.poll_seconds), "How soon a new version is seen, in seconds."
        ),
        Setting(
            "num_load_threads",
            str(options.load_threads),
            "Versions load apart from the manager's loop; with 0, the default, requests wait while one loads.",
        ),
        Setting("num_unload_threads", "1", "The old version's memory is freed apart too, for the same reason."),
        Setting(
            "enable_model_warmup",
            "true",
            "Replays the export's own requests before a version is available: the first real one is not the slow one.",
        ),
        Setting(
            "max_num_load_retries", str(options.load_retries), "A version that is still being copied gets more chances."
        ),
        Setting(
            "load_retry_interval_micros", str(options.retry_seconds * 1_000_000), "The default waits a whole minute."
        ),
        Setting(
            "flush_filesystem_caches",
            "true",
            "Files of a loaded version leave the page cache; after a reload only with one load thread.",
        ),
        Setting(
            "tensorflow_intra_op_parallelism",
            str(options.intra_op_threads),
            "Threads inside an operation: for a few hundred candidates handing work over costs more than it saves.",
        ),
        Setting(
            "tensorflow_inter_op_parallelism",
            str(options.inter_op_threads),
            "-1 runs a request in the thread that took it. --tensorflow_session_parallelism must stay unset beside it.",
        ),
        Setting("rest_api_num_threads", str(4 * options.cpu), "By default four for each core of the whole machine."),
        Setting(
            "grpc_channel_arguments",
            f"grpc.max_connection_age_ms={options.connection_age_seconds * 1000},"
            f"grpc.max_connection_age_grace_ms={max(options.drain_seconds, 1) * 1000}",
            "Clients connect again now and then, so new replicas get their share; requests under way end first.",
        ),
    ]
    if options.labels:
        found.append(
            Setting(
                "allow_version_labels_for_unavailable_models",
                "true",
                "A label may be set while its version still loads; without it a server with labels does not start.",
            )
        )
    if options.batching:
        found.append(Setting("enable_batching", "true", "Merges requests; it refuses signature `rank`."))
        found.append(Setting("batching_parameters_file", f"{config}/{paths.BATCHING_FILE}", "How they are merged."))
    if model.compiled:
        sizes = ", ".join(map(str, model.buckets))
        padding = "batching pads to them" if options.batching else "the client has to pad to them"
        found.append(
            Setting(
                "xla_cpu_compilation_enabled",
                "true",
                f"XLA compiled {', '.join(model.compiled)} for {sizes} rows: another size waits 0.1 s and more for a "
                f"compilation, so {padding}. Without the flag these signatures are refused.",
            )
        )
    if options.tls is not None:
        found.append(
            Setting("ssl_config_file", f"{paths.TLS}/{paths.SSL_FILE}", "TLS of the gRPC port; REST stays plain.")
        )
    return found


def environment_of(options: DeploymentOptions) -> list[Setting]:
    """Environment variables: what the allocator and TensorFlow's kernels read."""
    found = []
    if options.allocator is not None:
        found.append(
            Setting(
                "LD_PRELOAD",
                options.allocator,
                "Gives an old version's memory back to the system. The stock image lacks it: build one that has it.",
            )
        )
    elif options.malloc_arenas is not None:
        found.append(
            Setting(
                "MALLOC_ARENA_MAX",
                str(options.malloc_arenas),
                "Fewer heaps of glibc hold on to less of an old version; jemalloc or tcmalloc by LD_PRELOAD do better.",
            )
        )
    if options.onednn is not None:
        found.append(
            Setting("TF_ENABLE_ONEDNN_OPTS", str(int(options.onednn)), "oneDNN's kernels; they round differently.")
        )
    return found
